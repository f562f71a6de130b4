"""Policies: what a valid file means."""

from __future__ import annotations

import dataclasses
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.data import data_text
from enforcer.core.grants import Grants
from enforcer.core.hostname import parse_pattern
from enforcer.core.hosts import Host
from enforcer.core.policy import Mode, Policy, describe, parse_policy
from enforcer.core.policy_form import PolicyFile
from enforcer.core.presets import presets

HEAD = "version: 1\norganization: acme\n"
CONTRACT = """\
version: 1
organization: acme
mode: enforce                 # or audit: log what would be denied, deny nothing
registries:                   # presets, data with source URL and date
  - docker-hub
  - ghcr
  - ecr: {account: "123456789012", region: eu-west-1}
hosts:
  - registry.corp.example:5000
  - host: "*.pkg.dev"         # one or more labels below; public suffixes are refused
    ports: [443]
    private: true             # may resolve to RFC 1918, ULA, CGNAT
networks: [10.20.0.0/16]      # always allowed
resolvers: system             # or a list of addresses; `system` follows resolv.conf
dns: {min_ttl: 60, grace: 300}
"""


def parse(body: str) -> Policy:
    """Parse a policy of which *body* is all but the first two keys."""
    return parse_policy(HEAD + body, "policy.yaml")


def hosts(body: str) -> dict[str, tuple[tuple[int, ...], bool, str]]:
    """Return the ports, `private` and the origin of each host in *body*."""
    return {str(h.pattern): (h.ports, h.private, h.origin) for h in parse(body).hosts}


def test_every_key_of_the_documented_example_counts() -> None:
    """The example in the documentation is valid and means what its comments say."""
    policy = parse_policy(CONTRACT, "policy.yaml")
    assert policy.organization == "acme"
    assert policy.mode is Mode.ENFORCE
    assert policy.networks == (ipaddress.ip_network("10.20.0.0/16"),)
    assert policy.resolvers is None
    assert (policy.min_ttl_s, policy.grace_s) == (60, 300)
    assert {host.origin for host in policy.hosts} == {"docker-hub", "ghcr", "ecr", "hosts"}
    own = [host for host in policy.hosts if host.origin == "hosts"]
    assert own == [
        Host(parse_pattern("*.pkg.dev"), (443,), private=True, origin="hosts"),
        Host(parse_pattern("registry.corp.example"), (5000,), private=False, origin="hosts"),
    ]


def test_what_init_writes_permits_docker_hub_and_nothing_else() -> None:
    """The file to start from is valid, and its one preset can be removed."""
    text = data_text("template.yaml")
    policy = parse_policy(text, "policy.yaml")
    assert {host.origin for host in policy.hosts} == {"docker-hub"}
    assert len(policy.hosts) == len(presets()["docker-hub"].hosts)
    assert policy.mode is Mode.ENFORCE
    assert parse_policy(text.replace("  - docker-hub\n", ""), "policy.yaml").hosts == ()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "registries: []\nhosts: []\nnetworks: []\n",
        "registries:\nhosts:\nnetworks:\nresolvers:\ndns:\n",
        "registries:\n  # - docker-hub\n",
        "dns: {}\n",
    ],
)
def test_a_policy_may_permit_nothing(body: str) -> None:
    """No key but the first two is needed, and one without a value isn't there."""
    policy = parse(body)
    assert (policy.hosts, policy.networks, policy.resolvers) == ((), (), None)
    assert (policy.mode, policy.min_ttl_s, policy.grace_s) == (Mode.ENFORCE, 60, 300)


def test_no_docker_hub_unless_listed() -> None:
    """Docker Hub is a preset like any other."""
    assert list(hosts("registries: []\nhosts: [ghcr.io]")) == ["ghcr.io"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("hosts: [ghcr.io, GHCR.IO.]", {"ghcr.io": ((443,), False, "hosts")}),
        (
            "hosts: [a.example:5000, a.example, 'a.example:5000']",
            {"a.example": ((443, 5000), False, "hosts")},
        ),
        (
            "hosts: [{host: a.example, ports: [2, 1, 2]}, {host: a.example, private: true}]",
            {"a.example": ((1, 2, 443), True, "hosts")},
        ),
        (
            "hosts: ['*.a.example', a.example]",
            {
                "*.a.example": ((443,), False, "hosts"),
                "a.example": ((443,), False, "hosts"),
            },
        ),
        (
            "registries: [ghcr, ghcr]\nhosts: ['ghcr.io:5000']",
            {
                "ghcr.io": ((443, 5000), False, "ghcr, hosts"),
                "pkg-containers.githubusercontent.com": ((443,), False, "ghcr"),
            },
        ),
    ],
)
def test_entries_for_the_same_pattern_are_one_host(
    body: str, expected: dict[str, tuple[tuple[int, ...], bool, str]]
) -> None:
    """Ports are united, `private` holds if one says so, all origins are named."""
    assert hosts(body) == expected


def test_hosts_are_sorted_by_domain() -> None:
    """From the top-level domain down, so that what belongs together is together."""
    body = "hosts: [b.example, a.test, z.a.example, a.example, '*.a.example']"
    order = ["a.example", "*.a.example", "z.a.example", "b.example", "a.test"]
    assert [str(host.pattern) for host in parse(body).hosts] == order
    assert list(parse(body).hosts) == sorted(
        parse(body).hosts, key=lambda host: host.pattern.sort_key()
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[10.0.0.0/8, 10.1.0.0/16, 10.1.2.3]", ["10.0.0.0/8"]),
        ("[10.1.0.0/16, 10.0.0.0/16]", ["10.0.0.0/16", "10.1.0.0/16"]),
        ("[10.0.0.1]", ["10.0.0.1/32"]),
        ("['2001:DB8::/32', '2001:db8:1::1', 10.0.0.0/8]", ["10.0.0.0/8", "2001:db8::/32"]),
        ("[10.0.0.0/255.0.0.0]", ["10.0.0.0/8"]),
        ("['::1']", ["::1/128"]),
    ],
)
def test_networks_are_sorted_and_none_is_part_of_another(written: str, meant: list[str]) -> None:
    """Both families; an address is the network of that address alone."""
    assert [str(network) for network in parse(f"networks: {written}").networks] == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("system", None),
        ("[10.0.0.53]", ["10.0.0.53"]),
        ("['2001:db8::53', 10.0.0.53, 10.0.0.53]", ["2001:db8::53", "10.0.0.53"]),
    ],
)
def test_resolvers_keep_their_order(written: str, meant: list[str] | None) -> None:
    """The first is asked first; naming one twice changes nothing."""
    found = parse(f"resolvers: {written}").resolvers
    assert (found if found is None else [str(address) for address in found]) == meant


def test_mode_and_lifetimes_are_taken_over() -> None:
    """Not only the defaults work."""
    policy = parse("mode: audit\ndns: {min_ttl: 0, grace: 86400}")
    assert (policy.mode, policy.min_ttl_s, policy.grace_s) == (Mode.AUDIT, 0, 86400)


def test_sixteen_ports_are_not_too_many() -> None:
    """The limit itself is allowed, counted after duplicates and over all entries."""
    entries = ", ".join(f"a.example:{port}" for port in range(1, 17))
    assert hosts(f"hosts: [{entries}, 'a.example:1']")["a.example"][0] == tuple(range(1, 17))
    listed = [*range(1, 17), 1]
    assert hosts(f"hosts: [{{host: b.example, ports: {listed}}}]")["b.example"][0] == (
        tuple(range(1, 17))
    )


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ("hosts: [a.example, b.example]\nregistries: [quay, ghcr]", True),
        ("# a comment\nhosts:\n- B.example.\n- a.example\nregistries: [ghcr, quay]", True),
        ("hosts: [a.example, b.example, b.example]\nregistries: [quay, ghcr]\nmode: enforce", True),
        ("hosts: [a.example]\nregistries: [quay, ghcr]", False),
        ("hosts: [a.example, 'b.example:444']\nregistries: [quay, ghcr]", False),
        ("hosts: [a.example, {host: b.example, private: true}]\nregistries: [quay, ghcr]", False),
        ("hosts: [a.example, b.example]\nregistries: [quay, ghcr]\nmode: audit", False),
        ("hosts: [a.example, b.example]\nregistries: [quay, ghcr]\nnetworks: [10.0.0.1]", False),
        ("hosts: [a.example, b.example]\nregistries: [quay, ghcr]\nresolvers: [10.0.0.1]", False),
        ("hosts: [a.example, b.example]\nregistries: [quay, ghcr]\ndns: {grace: 1}", False),
    ],
)
def test_the_digest_is_of_what_the_policy_says(other: str, equal: bool) -> None:
    """Form, order and comments don't change it; every key does."""
    digest = parse("hosts: [a.example, b.example]\nregistries: [quay, ghcr]").digest
    assert (parse(other).digest == digest) is equal
    assert len(digest) == len("0123456789abcdef") * 4


def test_the_description_has_every_field() -> None:
    """What JSON shows is the whole policy, in JSON's own types."""
    policy = parse_policy(CONTRACT, "policy.yaml")
    described = json.loads(json.dumps(describe(policy)))
    keys = ["organization", "mode", "hosts", "networks", "resolvers", "dns", "watch"]
    keys.append("metrics")
    assert list(described) == keys
    assert described["hosts"][-1] == {
        "host": str(policy.hosts[-1].pattern),
        "ports": [443],
        "private": False,
        "origin": "ghcr",
    }
    covered = {"organization", "mode", "hosts", "networks", "resolvers", "min_ttl_s", "grace_s"}
    fields = {field.name for field in dataclasses.fields(Policy)}
    assert fields == covered | {"watch", "metrics_port", "digest"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.example", "b.example", "*.a.example"]),
            st.lists(st.integers(1, 16), min_size=1, max_size=5),
            st.booleans(),
        )
    )
)
def test_merging_neither_loses_nor_adds(entries: list[tuple[str, list[int], bool]]) -> None:
    """The host of a pattern has exactly the ports of its entries, in any order of them."""
    body = json.dumps(
        {"hosts": [dict(zip(("host", "ports", "private"), e, strict=True)) for e in entries]}
    )
    policy = parse_policy(body[:-1] + ', "version": 1, "organization": "acme"}', "policy.yaml")
    for host in policy.hosts:
        mine = [entry for entry in entries if entry[0] == str(host.pattern)]
        assert set(host.ports) == {port for entry in mine for port in entry[1]}
        assert host.private == any(entry[2] for entry in mine)
    assert {str(host.pattern) for host in policy.hosts} == {entry[0] for entry in entries}


def test_a_long_policy_loses_nothing() -> None:
    """There is no limit on the number of hosts."""
    body = "hosts:\n" + "".join(f"  - r{i}.team{i % 7}.example:5000\n" for i in range(10_007))
    policy = parse(body)
    assert len(policy.hosts) == 10_007
    assert {host.ports for host in policy.hosts} == {(5000,)}


def test_the_schema_has_every_key_and_form() -> None:
    """Editors learn of strings and mappings, of every preset and its parameters."""
    schema = PolicyFile.model_json_schema()
    keys = "version organization mode registries hosts networks resolvers dns watch metrics"
    assert list(schema["properties"]) == keys.split()
    assert schema["required"] == ["version", "organization"]
    assert schema["additionalProperties"] is False
    text, mapping = schema["properties"]["hosts"]["anyOf"][0]["items"]["oneOf"]
    assert text["type"] == "string"
    assert mapping == {"$ref": "#/$defs/HostEntry"}
    assert list(schema["$defs"]["HostEntry"]["properties"]) == ["host", "ports", "private"]
    name, entry = schema["properties"]["registries"]["anyOf"][0]["items"]["oneOf"]
    assert {"docker-hub", "ghcr"} <= set(name["enum"])
    assert "ecr" not in name["enum"]
    assert set(entry["properties"]) == set(presets())
    assert entry["properties"]["ecr"]["required"] == ["account", "region"]
    assert entry["properties"]["ecr"]["properties"]["fips"]["type"] == "boolean"
    system, addresses = schema["properties"]["resolvers"]["anyOf"][0]["oneOf"]
    assert (system["const"], addresses["type"]) == ("system", "array")


def test_hosts_that_stay_are_those_of_the_policy_before() -> None:
    """What changed is new; two copies of 100,000 hosts at each reload left 40 MB behind."""
    before = parse("hosts: [a.example, b.example:5000, '*.c.example', d.c.example]")
    grants = Grants(before.hosts)
    text = HEAD + "hosts: [a.example, b.example:5001, '*.c.example', d.c.example, e.example]"
    after = parse_policy(text, "policy.yaml", grants)
    assert after == parse_policy(text, "policy.yaml")
    same = {str(host.pattern) for host in after.hosts if any(host is old for old in before.hosts)}
    assert same == {"a.example", "*.c.example", "d.c.example"}
