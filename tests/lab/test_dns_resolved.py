"""The real systemd-resolved as the machine's stub: its upstreams are followed and learned from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.asking import ask
from tests.lab.client import Connections, connect_to_answers
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import attempt, attempts
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.resolved import STUB, systemd_resolved, use
from tests.lab.topology import RESOLVERS, UPLINK
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Less than the daemon waits before it looks of its own accord.
AT_ONCE_S = 3
NEW = "10.77.0.9"
NAME, ADDRESSES = f"cached.{FRESH_ZONE}", ("198.18.7.1", "2001:db8:7::1")


@pytest.fixture
def stubbed(lab: Lab) -> Iterator[Lab]:
    """Return a lab whose host asks a stub, and whose world has another name server."""
    lab.net.world.ip(f"address add {NEW}/24 dev eth0")
    lab.nameserver.add(NAME, *ADDRESSES, ttl_s=500)
    with (
        lab.nameserver.serving(lab.net.world, NEW),
        systemd_resolved(lab.net.host, UPLINK, RESOLVERS[0]),
    ):
        yield lab


@pytest.mark.parametrize("family", [4, 6])
def test_names_resolved_by_the_stub_connect_at_the_first_attempt(stubbed: Lab, family: int) -> None:
    """Its own query is the one that leaves; resolv.conf names the stub alone."""
    host = stubbed.net.host
    assert RESOLVERS[0] not in host.resolv_conf.read_text()
    with running(stubbed.net, POLICY) as enforcer:
        assert enforcer.status()["resolvers"] == [STUB, RESOLVERS[0]]
        made = connect_to_answers(host, FRESH_ZONE, family=family, count=100)
        assert made == Connections(100, 0, 0, 0, 0, made.connect_s, made.total_s)
        assert enforcer.status()["healthy"]


def test_what_the_stub_has_cached_connects_at_the_first_attempt(stubbed: Lab) -> None:
    """One program's answer comes from the resolver, another's from the stub's cache."""
    host, nameserver = stubbed.net.host, stubbed.nameserver
    with running(stubbed.net, POLICY):
        for kind in ("A", "AAAA"):
            assert ask(host, STUB, NAME, kind).answer
        nameserver.silence(NAME)
        connected = dict.fromkeys(ADDRESSES, "connected")
        assert {each.address: each.outcome for each in attempts(host, NAME)} == connected


def test_another_upstream_is_followed_at_once(stubbed: Lab) -> None:
    """As when a laptop changes networks: the file that systemd-resolved writes says so."""
    host = stubbed.net.host
    with running(stubbed.net, POLICY) as enforcer:
        assert attempt(host, NEW, 53).outcome == "ECONNREFUSED"
        assert use(host, UPLINK, NEW)
        until(lambda: enforcer.status()["resolvers"] == [STUB, NEW], AT_ONCE_S, "the upstream")
        assert attempt(host, NEW, 53).outcome == "connected"
        assert attempt(host, RESOLVERS[0], 53).outcome == "ECONNREFUSED"
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=50, label="new")
        assert (made.ok, made.refused, made.late) == (50, 0, 0)
        assert {each.outcome for each in attempts(host, NAME)} == {"connected"}
