"""Grants: the longest match alone says everything that a policy allows for a name."""

from __future__ import annotations

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import parse_pattern
from enforcer.core.hosts import Host

# Few labels, so that patterns overlap often.
LABELS = st.sampled_from("abc")
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "x.test"]))
HOSTS = st.builds(
    lambda name, wildcard, ports, private: host(
        f"*.{name}" if wildcard else name, *ports, private=private
    ),
    NAMES,
    st.booleans(),
    st.sets(st.integers(1, 9), min_size=1, max_size=3),
    st.booleans(),
)


def host(pattern: str, *ports: int, private: bool = False) -> Host:
    """Return a host with sorted ports."""
    return Host(parse_pattern(pattern), tuple(sorted(ports)), private, "hosts")


@given(st.lists(HOSTS, max_size=12), NAMES)
def test_the_longest_match_is_the_union_of_all_matches(hosts: list[Host], qname: str) -> None:
    """The grant of a name equals what going through all hosts finds."""
    name = dns.name.from_text(qname)
    matching = [host for host in hosts if host.pattern.matches(name)]
    grant = Grants(hosts).match(name)
    if not matching:
        assert grant is None
        return
    assert grant is not None
    assert grant.ports == tuple(sorted({port for host in matching for port in host.ports}))
    assert grant.private == any(host.private for host in matching)
    longest = max(matching, key=lambda host: (not host.pattern.wildcard, len(host.pattern.domain)))
    assert grant.pattern == longest.pattern


@given(st.lists(HOSTS, max_size=12))
def test_there_is_one_grant_for_each_pattern(hosts: list[Host]) -> None:
    """Iterating yields every pattern once, with what covers it."""
    grants = Grants(hosts)
    assert {grant.pattern for grant in grants} == {host.pattern for host in hosts}
    assert len(grants) == len(list(grants)) == len({host.pattern for host in hosts})
    for grant in grants:
        covering = [host for host in hosts if host.pattern.covers(grant.pattern)]
        assert set(grant.ports) == {port for host in covering for port in host.ports}
        assert grant.private == any(host.private for host in covering)


@pytest.mark.parametrize(
    ("qname", "pattern", "ports"),
    [
        ("a.example.com", "*.example.com", (443,)),
        ("A.EXAMPLE.COM", "*.example.com", (443,)),
        ("reg.example.com", "reg.example.com", (443, 5000)),
        ("x.reg.example.com", "*.example.com", (443,)),
        ("dev.example.com", "*.example.com", (443,)),  # not *.dev: that is for names below
        ("a.dev.example.com", "*.dev.example.com", (443, 8443)),
        ("a.b.dev.example.com", "*.dev.example.com", (443, 8443)),
    ],
)
def test_a_name_gets_what_its_wildcards_allow_as_well(
    qname: str, pattern: str, ports: tuple[int, ...]
) -> None:
    """An exact name and a longer wildcard add to the wildcard above."""
    grants = Grants(
        [
            host("reg.example.com", 5000),
            host("*.dev.example.com", 8443),
            host("*.example.com", 443),
        ]
    )
    grant = grants.match(dns.name.from_text(qname))
    assert grant is not None
    assert (str(grant.pattern), grant.ports) == (pattern, ports)


@pytest.mark.parametrize("qname", ["example.com", "com", ".", "example.org", "xexample.com"])
def test_other_names_get_nothing(qname: str) -> None:
    """Neither the apex of a wildcard, nor what is above it, nor a stranger."""
    assert Grants([host("*.example.com", 443)]).match(dns.name.from_text(qname)) is None


def test_a_relative_name_gets_nothing() -> None:
    """Only a complete name is one that DNS was asked for."""
    relative = dns.name.from_text("a.example.com", origin=None)
    assert Grants([host("*.example.com", 443)]).match(relative) is None


def test_a_host_that_gains_nothing_is_its_own_grant() -> None:
    """A second object for each of 100,000 hosts is memory for nothing."""
    hosts = [host("*.x.test", 443), host("a.x.test", 443), host("b.x.test", 5000)]
    grants = Grants(hosts)
    assert grants.of(hosts[0].pattern) is hosts[0]
    assert grants.of(hosts[1].pattern) is hosts[1]
    assert grants.of(hosts[2].pattern) == Grant(hosts[2].pattern, (443, 5000), private=False)
    assert grants.of(parse_pattern("x.test")) is None


@pytest.mark.parametrize("label", [b'x"y', b"x y", b"x\\y", b"x*", b"x,y", b"\xff", b"x\ny"])
def test_a_name_with_other_characters_matches_no_wildcard(label: bytes) -> None:
    """No query for one is remembered; in an answer, one ended the daemon."""
    name = dns.name.Name((label, *dns.name.from_text("example.com").labels))
    grants = Grants([host("*.example.com", 443)])
    assert grants.match(dns.name.from_text("x-_y.example.com")) is not None
    assert grants.match(name) is None


@pytest.mark.parametrize("qname", ["ghcr.io", "a.pkg.dev", "pkg.dev", "A.Pkg.Dev", "x"])
def test_a_name_in_text_matches_as_the_name_does(qname: str) -> None:
    """Whatever its case."""
    held = Grants(
        [Grant(parse_pattern(p), (443,), private=False) for p in ("ghcr.io", "*.pkg.dev")]
    )
    name = dns.name.from_text(qname)
    assert held.match_text(name.to_text(omit_final_dot=True)) == held.match(name)
