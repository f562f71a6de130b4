"""Known traps of policies that are valid, and of what is configured beside them."""

from __future__ import annotations

import datetime as dt
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import lint as command
from enforcer.cli.main import cli
from enforcer.core.lint import STALE, PolicyText, lint
from enforcer.core.policy import parse_policy, placed_hosts
from enforcer.core.presets import presets
from enforcer.core.trap import Finding
from enforcer.edge.surroundings import MAX_BYTES, surroundings

TODAY = min(preset.checked for preset in presets().values())
HEAD = "version: 1\norganization: lab\n"
RESOLVER = "192.0.2.53"
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ECR_LAYERS = "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com"


def found(
    policy: str, files: dict[str, str] | None = None, today: dt.date = TODAY
) -> tuple[Finding, ...]:
    """Return the findings in a policy, and in *files* beside it."""
    text = HEAD + policy
    parsed = PolicyText("policy.yaml", parse_policy(text, "policy.yaml"), placed_hosts(text))
    return lint(parsed, [ip_address(RESOLVER)], files or {}, today)


def test_a_registry_without_the_host_of_its_layers() -> None:
    """Its pulls authenticate and then stall: told where it stands, with the lines to add."""
    finding, *others = found(f"hosts:\n  - ghcr.io\n  - {ECR}\n")
    assert (finding.line, finding.key) == (4, "hosts[0]")
    assert finding.reason == "a pull from ghcr.io needs pkg-containers.githubusercontent.com too"
    assert finding.hint.startswith("use the preset ghcr, or add under hosts: pkg-containers.")
    (other,) = others
    assert (other.line, other.key) == (5, "hosts[1]")
    assert ECR_LAYERS in other.reason
    assert "use the preset ecr" in other.hint


@pytest.mark.parametrize(
    "policy",
    [
        "registries: [ghcr, docker-hub, quay]\n",
        "hosts: [ghcr.io, pkg-containers.githubusercontent.com]\n",
        "hosts: ['ghcr.io:5000', registry.corp.test, '*.corp.test']\n",
    ],
)
def test_what_is_complete_is_no_finding(policy: str) -> None:
    """By presets or by hosts; of a registry that nobody knows nothing is."""
    assert found(policy) == ()


@pytest.mark.parametrize(
    "host", ["s3.eu-west-1.amazonaws.com", "storage.googleapis.com", "github.io", "com"]
)
def test_a_host_that_serves_the_buckets_of_all(host: str) -> None:
    """As is often advised for layers."""
    (finding,) = found(f"hosts: [{host}]\n")
    assert finding.reason == f"{host} is everybody's: names below it, or buckets by their path"


def test_a_wildcard_over_a_shared_suffix() -> None:
    """Only the switch of a preset permits one."""
    (finding,) = found("registries:\n  - acr: {name: contoso, shared_storage: true}\n")
    assert (finding.line, finding.key) == (4, "registries[0]")
    assert "*.blob.core.windows.net permits the hosts of anybody" in finding.reason


def test_a_preset_that_is_old() -> None:
    """Once, however many hosts it has."""
    later = presets()["docker-hub"].checked + STALE
    assert found("registries: [docker-hub]\n", today=later) == ()
    (finding,) = found("registries: [docker-hub]\n", today=later + dt.timedelta(days=1))
    assert finding.reason.startswith("the hosts of docker-hub were read from their source on 2")


DOCKER, HOSTS = "/etc/docker/daemon.json", "/etc/hosts"
RESOLVED = "/etc/systemd/resolved.conf.d/tls.conf"
UNIT = "/etc/systemd/system/docker.service.d/proxy.conf"
POLICY = "hosts: [registry.corp.test, 'mirror.corp.test:5000', '*.wild.test']\n"


@pytest.mark.parametrize(
    ("path", "text", "line", "key", "reason"),
    [
        (DOCKER, '{"registry-mirrors": ["https://x.test"]}', 0, "registry-mirrors", "mirror"),
        (DOCKER, '{"proxies": {"http-proxy": "x.test:3128"}}', 0, "proxies.http-proxy", "refused"),
        (DOCKER, '{"proxies": {"https-proxy": "http://mirror.corp.test:5000"}}', 0, "", "what it"),
        (DOCKER, '{"dns": ["8.8.8.8", "192.0.2.53"]}', 0, "dns", '"8.8.8.8", which is no trusted'),
        (DOCKER, '{"dns": [,]}', 1, "", "it is not JSON"),
        (HOSTS, "127.0.0.1 localhost\n10.0.0.1 a.test registry.corp.test\n", 2, "", "10.0.0.1"),
        (HOSTS, "2001:db8::1 A.Wild.test.", 1, "", '"A.Wild.test."'),
        (RESOLVED, "[Resolve]\nDNSOverTLS = opportunistic\n", 2, "DNSOverTLS", "encrypted"),
        (
            UNIT,
            '[Service]\nEnvironment="HTTPS_PROXY=http://x.test:1"\n',
            2,
            "HTTPS_PROXY",
            "x.test:1",
        ),
        ("/etc/environment", "all_proxy=socks5://x.test\n", 1, "all_proxy", "socks5://x.test"),
    ],
)
def test_what_goes_round_a_policy_or_into_it(
    path: str, text: str, line: int, key: str, reason: str
) -> None:
    """In Docker's settings, systemd's, /etc/hosts and environments: told with file and line."""
    (finding,) = found(POLICY, {path: text})
    assert (finding.path, finding.line) == (path, line)
    assert key in finding.key
    assert reason in finding.reason


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (DOCKER, ""),
        (DOCKER, "[]"),
        (DOCKER, '{"registry-mirrors": ["https://mirror.corp.test:5000"], "dns": null}'),
        (DOCKER, '{"dns": ["192.0.2.53"], "proxies": "none", "registry-mirrors": [1]}'),
        (HOSTS, "# registry.corp.test\n10.0.0.1 other.test # a.wild.test\n\n"),
        (RESOLVED, "#DNSOverTLS=yes\nDNSOverTLS=no\nDNSSEC=yes\n"),
        (UNIT, 'Environment="NO_PROXY=x.test"\n# HTTP_PROXY=http://x.test\n'),
    ],
)
def test_what_does_no_harm_is_no_finding(path: str, text: str) -> None:
    """Comments, what is off, what the policy permits."""
    assert found(POLICY, {path: text}) == ()


def test_localhost_is_where_it_belongs() -> None:
    """Nobody answers for it."""
    lines = "127.0.0.1 localhost\n::1 localhost a.localhost\n"
    assert found("hosts: [localhost, a.localhost]\n", {HOSTS: lines}) == ()


def test_files_are_read_where_they_are(tmp_path: Path) -> None:
    """What is no file, not there or without an end is passed over."""
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text("{}")
    (tmp_path / "etc/hosts").mkdir()
    folder = tmp_path / "etc/systemd/resolved.conf.d"
    folder.mkdir(parents=True)
    (folder / "b.conf").write_bytes(b"\xff")
    (folder / "a.conf").write_text("x" * (MAX_BYTES + 1))
    (folder / "none.txt").write_text("")
    (tmp_path / "etc/environment").symlink_to("/dev/zero")
    read = surroundings(tmp_path)
    assert list(read) == [
        "/etc/docker/daemon.json",
        "/etc/systemd/resolved.conf.d/a.conf",
        "/etc/systemd/resolved.conf.d/b.conf",
    ]
    assert len(read["/etc/systemd/resolved.conf.d/a.conf"]) == MAX_BYTES


@pytest.mark.parametrize(
    ("policy", "status", "said"),
    [
        (f"{HEAD}registries: [ghcr]\n", 0, "policy.yaml: no known trap"),
        (f"{HEAD}hosts:\n  - ghcr.io\n", 1, "policy.yaml:4: hosts[0]: a pull from ghcr.io needs"),
    ],
)
def test_the_command_tells_and_exits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, status: int, said: str
) -> None:
    """1 with findings; the document has the same as the lines."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr("enforcer.core.lint.STALE", dt.timedelta.max)
    path = tmp_path / "policy.yaml"
    path.write_text(policy)
    done = CliRunner().invoke(cli, ["policy", "lint", str(path)])
    assert done.exit_code == status
    assert f"{tmp_path}/{said}" in done.output
    document = json.loads(CliRunner().invoke(cli, ["policy", "lint", str(path), "--json"]).output)
    assert document["path"] == str(path)
    assert len(document["findings"]) == status
