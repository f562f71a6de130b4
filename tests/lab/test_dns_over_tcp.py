"""DNS over TCP: learned inline where an answer is in one segment, looked up otherwise."""

from __future__ import annotations

import socket

import dns.message
import dns.query
import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

COUNT = 200
TIMEOUT_S = 10


def connects(namespace: Namespace, address: str) -> bool:
    """Tell whether *address* can be reached from *namespace*."""
    return attempt(namespace, address).outcome == "connected"


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("where", ["host", "container"])
def test_never_seen_addresses_are_reached_at_once(shared_lab: Lab, where: str, family: int) -> None:
    """200 connections right after answers over TCP: none refused, none by a second SYN."""
    namespace: Namespace = getattr(shared_lab.net, where)
    shared_lab.nameserver.given.clear()
    shared_lab.sink.reset()
    made = connect_to_answers(namespace, FRESH_ZONE, family=family, count=COUNT, over="tcp")
    assert (made.ok, made.refused, made.late, made.lost, made.unanswered) == (COUNT, 0, 0, 0, 0)
    syns = {pair: number for pair, number in shared_lab.sink.syns().items() if pair[1] != 53}
    assert syns == dict.fromkeys(((a, 443) for a in shared_lab.nameserver.given), 1)


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("where", ["host", "container"])
@pytest.mark.parametrize("resolver", RESOLVERS)
def test_an_answer_in_several_segments_is_looked_up(
    shared_lab: Lab, where: str, resolver: str
) -> None:
    """The kernel tells user space which name it was, and that one asks for itself."""
    namespace: Namespace = getattr(shared_lab.net, where)
    number = 2 * RESOLVERS.index(resolver) + (where == "host")
    name = f"split{number}.{FRESH_ZONE}"
    addresses = [f"198.18.{53 + number}.{n}" for n in range(1, 31)]
    shared_lab.nameserver.add(name, *addresses)
    shared_lab.nameserver.segments = 2
    try:
        query = dns.message.make_query(name, "A")
        answer = namespace.call(lambda: dns.query.tcp(query, resolver, timeout=TIMEOUT_S))
    finally:
        shared_lab.nameserver.segments = 1
    assert addresses[-1] in answer.to_text()
    for address in addresses:
        until(lambda a=address: connects(namespace, a), TIMEOUT_S, f"{address} to be open")  # type: ignore[misc]


def test_a_connection_older_than_the_daemon_is_looked_up(lab: Lab, policy: str) -> None:
    """Local resolvers keep connections open: no name asked on them may stay closed."""
    name, address = f"long-lived.{FRESH_ZONE}", "198.18.53.9"
    lab.nameserver.add(name, address)

    def connected() -> socket.socket:
        return socket.create_connection((RESOLVERS[0], 53), timeout=TIMEOUT_S)

    with lab.net.host.call(connected) as sock, running(lab.net, policy):
        assert not connects(lab.net.host, address)
        query = dns.message.make_query(name, "A")
        answer = lab.net.host.call(
            lambda: dns.query.tcp(query, RESOLVERS[0], timeout=TIMEOUT_S, sock=sock)
        )
        assert address in answer.to_text()
        until(lambda: connects(lab.net.host, address), TIMEOUT_S, f"{address} to be open")
