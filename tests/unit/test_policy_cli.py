"""`enforcer policy`: what its commands print and how they fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.cli.main import cli
from enforcer.core.data import data_text
from enforcer.errors import PolicyError

FULL = """\
version: 1
organization: acme
registries: [ghcr]
hosts:
  - registry.corp.example:5000
  - host: "*.pkg.dev"
    private: true
  - {host: many.example, ports: [50001, 50002, 50003, 50004, 50005, 50006]}
  - an-unusually-long-name-of-a-host.in-a-department.corp.example
  - ghcr.io
networks: [10.20.0.0/16]
resolvers: [10.0.0.53, "2001:db8::53"]
dns: {min_ttl: 5, grace: 7}
"""
SHOWN = """\
acme permits 6 hosts and 1 network
enforce: denies everything else

from ghcr
  pkg-containers.githubusercontent.com             443

from ghcr, hosts
  ghcr.io                                          443

from hosts
  *.pkg.dev                                        443                  private
  an-unusually-long-name-of-a-host.in-a-department.corp.example
                                                   443
  registry.corp.example                            5000
  many.example                                     50001 50002 50003
                                                   50004 50005 50006

networks, every port
  10.20.0.0/16

resolvers  10.0.0.53, 2001:db8::53
lifetime   TTL, at least 5 s, and 7 s of grace
"""


def run(*arguments: str | Path) -> Result:
    """Run `enforcer policy` with *arguments*; errors come out as they are raised."""
    return CliRunner().invoke(cli, ["policy", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Return a file with a policy that has something of everything."""
    path = tmp_path / "full.yaml"
    path.write_text(FULL)
    return path


def test_init_writes_a_policy_that_validates(tmp_path: Path) -> None:
    """What it writes is the commented template, and `validate` accepts it."""
    path = tmp_path / "policy.yaml"
    result = run("init", "--output", path)
    assert result.exit_code == 0
    assert str(path) in result.output
    assert path.read_text() == data_text("template.yaml")
    assert run("validate", path).output == (
        f"{path}: valid\nmy-organization permits 11 hosts and 0 networks\n"
        "enforce: denies everything else\n"
    )


def test_validate_tells_programs_all_that_is_wrong(tmp_path: Path) -> None:
    """Each problem with its place, however many; exit code 2."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\norganization: acme\nhosts:\n" + "  - a b\n" * 1000)
    result = run("validate", "--json", path)
    assert result.exit_code == 2
    document = json.loads(result.output)
    assert document["valid"] is False
    assert len(document["problems"]) == 1000
    first = document["problems"][0]
    assert (first["line"], first["key"]) == (4, "hosts[0]")
    assert first["reason"]
    assert first["hint"]


def test_validate_tells_programs_that_nothing_is_wrong(full: Path) -> None:
    """The same document without problems, and the digest that status shows."""
    document = json.loads(run("validate", "--json", full).output)
    shown = json.loads(run("show", "--json", full).output)
    assert document == {
        "path": str(full),
        "valid": True,
        "problems": [],
        "digest": shown["digest"],
    }


def test_a_thousand_mistakes_are_not_a_thousand_lines(tmp_path: Path) -> None:
    """The first are shown, the rest counted: they scrolled away what to begin with."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\norganization: acme\nhosts:\n" + "  - a b\n" * 1000)
    with pytest.raises(PolicyError) as caught:
        run("validate", path)
    lines = caught.value.message.splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"policy {path}:4: hosts[0]")
    assert lines[-1] == f"policy {path}: and 980 more: mend these first"
    assert len(caught.value.problems) == 1000


@pytest.mark.root
def test_that_of_the_service_is_refused_as_a_reload_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are somebody's drafts, which he may write."""
    path = tmp_path / "policy.yaml"
    path.write_text(FULL)
    path.chmod(0o666)
    assert run("validate", path).exit_code == 0
    monkeypatch.setattr("enforcer.cli.policy.DEFAULT_POLICY", str(path))
    with pytest.raises(PolicyError, match="can be changed by others than root"):
        run("validate", path)


def test_init_prints_for_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints is the file that it writes, and it writes none."""
    path = tmp_path / "policy.yaml"
    run("init", "--output", path, "--mode", "audit")
    monkeypatch.chdir(tmp_path)
    printed = run("init", "--output", "-", "--mode", "audit").output
    assert printed == path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_init_replaces_only_if_forced(tmp_path: Path) -> None:
    """A policy at work is not lost to a second `init`."""
    path = tmp_path / "policy.yaml"
    path.write_text("precious")
    with pytest.raises(PolicyError, match="--force"):
        run("init", "--output", path)
    assert path.read_text() == "precious"
    assert run("init", "--force", "--output", path).exit_code == 0
    assert path.read_text() == data_text("template.yaml")


@pytest.mark.parametrize("command", [["validate"], ["show"], ["show", "--json"]])
def test_an_invalid_policy_is_an_error_of_exit_code_2(tmp_path: Path, command: list[str]) -> None:
    """The error is raised for the command line's outermost layer to print."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 2\n")
    with pytest.raises(PolicyError) as caught:
        run(*command, path)
    assert caught.value.exit_code == 2
    assert [problem.key for problem in caught.value.problems] == ["version", "organization"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "acme permits 0 hosts and 0 networks\nenforce: denies everything: no registry"),
        ("networks: [10.0.0.1]", "0 hosts and 1 network\nenforce: denies everything else"),
        ("mode: audit", "audit: counts what it would deny, and denies nothing"),
    ],
)
def test_validate_says_what_the_policy_does(tmp_path: Path, body: str, said: str) -> None:
    """A policy that permits nothing, or denies nothing, is valid but not by accident."""
    path = tmp_path / "policy.yaml"
    path.write_text(f"version: 1\norganization: acme\n{body}\n")
    assert said in run("validate", path).output


def test_show_prints_every_host_with_origin_and_ports(full: Path) -> None:
    """The effective policy, presets resolved, in 79 columns, ending with the digest."""
    output = run("show", full).output
    shown, _, digest = output.rpartition("digest")
    assert shown == SHOWN
    assert len(digest.strip()) == 64
    assert max(map(len, output.splitlines())) < 80


def test_show_prints_json(full: Path) -> None:
    """The same for programs: path, everything the policy says, digest."""
    document = json.loads(run("show", "--json", full).output)
    keys = "path organization mode hosts networks resolvers dns watch metrics digest"
    assert list(document) == keys.split()
    assert document["path"] == str(full)
    assert document["resolvers"] == ["10.0.0.53", "2001:db8::53"]
    assert document["dns"] == {"min_ttl": 5, "grace": 7}
    assert {"host": "*.pkg.dev", "ports": [443], "private": True, "origin": "hosts"} in document[
        "hosts"
    ]


def test_schema_prints_a_json_schema() -> None:
    """A document that names its dialect and describes an object."""
    schema = json.loads(run("schema").output)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"


@pytest.mark.parametrize("color", [True, False])
def test_colour_is_for_terminals_only(full: Path, color: bool) -> None:
    """What is piped into a file has no escape codes in it."""
    result = CliRunner().invoke(cli, ["policy", "validate", str(full)], color=color)
    assert ("\x1b[" in result.output) is color
