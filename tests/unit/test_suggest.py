"""Policy lines from what was denied: they permit it, and nothing that nobody asked for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import yaml

from enforcer.core.denials import Attempt
from enforcer.core.destinations import Destination
from enforcer.core.grants import Grants
from enforcer.core.policy import parse_policy
from enforcer.core.suggest import in_yaml, suggest
from enforcer.core.wanted import MAX_PROCESSES, AllWanted

T = 1_790_000_000.0
TCP, UDP, ICMP = 6, 17, 1
PUBLIC, PRIVATE = "198.51.100.7", "10.0.0.7"
POLICY = "version: 1\norganization: lab\n"


def wanted(*hosts: str, address: str = PUBLIC, port: int = 443, protocol: int = TCP) -> AllWanted:
    """Return what is remembered of one attempt at each of *hosts*."""
    found = AllWanted()
    for host in hosts:
        to = Destination(ip_address(address), protocol, port)
        found.add(Attempt(host, to, uid=1000, pid=42), T, "dockerd")
    return found


def grants(policy: str) -> Grants:
    """Return what the text *policy* permits."""
    return Grants(parse_policy(policy, "policy.yaml").hosts)


def lines(found: AllWanted, policy: str = POLICY) -> list[str]:
    """Return what is suggested to who has *policy*."""
    return list(in_yaml(suggest(found, grants(policy))))


def test_hosts_are_suggested_in_order() -> None:
    """That of their labels; with port, unless it is 443, and with who asked how often."""
    found = wanted("ghcr.test", "b.registry.test")
    found.add(Attempt("ghcr.test", Destination(ip_address(PUBLIC), TCP, 443)), T + 1, "skopeo")
    found.add(Attempt("a.registry.test", Destination(ip_address(PUBLIC), TCP, 5000)), T + 2)
    assert lines(found) == [
        "hosts:",
        "  - ghcr.test  # 2 packets, by dockerd, skopeo",
        "  - a.registry.test:5000  # 1 packet",
        "  - b.registry.test  # 1 packet, by dockerd",
    ]


def test_several_ports_and_private_addresses_take_a_mapping() -> None:
    """As the policy has them."""
    found = wanted("nexus.corp.test", address=PRIVATE)
    found.add(Attempt("nexus.corp.test", Destination(ip_address(PRIVATE), TCP, 8443)), T)
    assert lines(found) == [
        "hosts:",
        "  - host: nexus.corp.test  # 2 packets, by dockerd",
        "    ports: [443, 8443]",
        "    private: true",
    ]


def test_a_preset_takes_the_place_of_its_hosts() -> None:
    """Of those that its arguments stand for; others of the same organization stay hosts."""
    api = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    layers = "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com"
    elsewhere = "prod-eu-west-2-starport-layer-bucket.s3.eu-west-2.amazonaws.com"
    assert lines(wanted("auth.docker.io", layers, elsewhere, api, "registry-1.docker.io")) == [
        "registries:",
        "  - docker-hub  # auth.docker.io, registry-1.docker.io",
        f'  - ecr: {{account: "123456789012", region: "eu-west-1"}}  # {api}, {layers}',
        "hosts:",
        f"  - {elsewhere}  # 1 packet, by dockerd",
    ]


def test_layers_alone_are_no_preset() -> None:
    """Whoever permits an API by another entry lacks a host, not a registry."""
    (_, line) = lines(wanted("production.cloudflare.docker.com"))
    assert line.startswith("  - production.cloudflare.docker.com ")


@pytest.mark.parametrize(("address", "port"), [(PRIVATE, 443), (PUBLIC, 5000)])
def test_a_preset_permits_neither_private_addresses_nor_other_ports(
    address: str, port: int
) -> None:
    """So its API there is a host of its own."""
    assert lines(wanted("registry-1.docker.io", address=address, port=port))[0] == "hosts:"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (wanted(""), "tcp to 198.51.100.7:443, 1 packet: no name was answered for it"),
        (wanted("*.com"), "(*.com), 1 packet: no host can have this name"),
        (wanted("a\\032b.test"), "no host can have this name"),
        (wanted("evil\n- x.test"), "(evil\\n- x.test), 1 packet: no host can have this name"),
        (wanted("a.test", port=53), "DNS goes to the policy's resolvers alone"),
        (wanted("a.test", protocol=UDP), "QUIC: clients go on with TCP"),
        (wanted("a.test", protocol=ICMP, port=0), "icmp to 198.51.100.7 (a.test), 1 packet: a"),
        (wanted("a.test", address="169.254.169.254"), "no host may have this address"),
        (wanted("", address="2001:db8::1"), "tcp to [2001:db8::1]:443, 1 packet: no name"),
    ],
)
def test_what_no_line_can_permit_is_told(found: AllWanted, why: str) -> None:
    """As a comment, in one line whatever is in the name."""
    (line,) = lines(found)
    assert line.startswith("# not suggested: ")
    assert why in line
    assert line.isprintable()


def test_what_is_permitted_meanwhile_is_not_suggested() -> None:
    """On the port that it was denied on, and private if it is."""
    now = f"{POLICY}hosts: [a.test, 'b.test:5000', '*.c.test', d.test]\n"
    assert lines(wanted("a.test", "x.c.test"), now) == []
    assert lines(wanted("b.test"), now)[1].startswith("  - b.test ")
    assert lines(wanted("d.test", address=PRIVATE), now)[-1] == "    private: true"


def test_what_is_suggested_permits_what_was_denied() -> None:
    """Read as a policy, it leaves nothing to suggest."""
    found = wanted("ghcr.io", "pkg-containers.githubusercontent.com", "a.test", "quay.io")
    found.add(Attempt("p.test", Destination(ip_address(PRIVATE), TCP, 5000)), T)
    text = POLICY + "\n".join(lines(found))
    assert yaml.safe_load(text)["registries"]
    assert lines(found, text) == []


def test_processes_are_a_few() -> None:
    """Anybody can call himself anything, as often as he likes."""
    found = AllWanted()
    for number in range(10):
        to = Destination(ip_address(PUBLIC), TCP, 443)
        found.add(Attempt("a.test", to), T, f"process\n{number}")
    (entry,) = found
    assert len(entry.processes) == MAX_PROCESSES
    assert all(line.isprintable() for line in lines(found))


def test_of_too_many_the_oldest_are_forgotten() -> None:
    """And counted."""
    found = AllWanted(capacity=3)
    for number in (0, 1, 2, 0, 3, 4):
        to = Destination(ip_address(PUBLIC), TCP, 443)
        found.add(Attempt(f"{number}.test", to), T + number)
    assert [each.host for each in found] == ["0.test", "3.test", "4.test"]
    assert found.forgotten == 2
