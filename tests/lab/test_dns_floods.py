"""Answers in masses: what is permitted goes on working, whatever else is answered."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from enforcer.abi import MAX_LEARNED, MAX_QUERIES
from tests.lab.asking import OPENED_WITHIN_S, ask, await_open, held, is_open
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import Host, connected
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

FLOOD = 50_000
NOBODY = 65534
# With the share of one each they could fill the map several times a second.
SUBORDINATES = 128
# The client waits for 5 s.
ANSWERED_WITHIN_S = 4.5
# Two rounds of the daemon's own look-around, and the writing.
MADE_GOOD_WITHIN_S = 30


def answer(name: str, address: str) -> bytes:
    """Return an answer that says that *name* has *address*."""
    response = dns.message.make_response(dns.message.make_query(name, "A"))
    response.answer.append(dns.rrset.from_text(name, 300, "IN", "A", address))
    return response.to_wire()


@contextlib.contextmanager
def stopped(enforcer: Enforcer) -> Iterator[None]:
    """Keep the daemon from running until the block ends."""
    os.kill(enforcer.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(enforcer.process.pid, signal.SIGCONT)


@pytest.mark.usefixtures("enforcer")
def test_a_flood_of_other_answers_changes_nothing(shared_lab: Lab) -> None:
    """50,000 answers for other names, unasked, while permitted names are connected to."""
    net, nameserver = shared_lab.net, shared_lab.nameserver
    wires = [answer(f"n{n}.{FRESH_ZONE}.other.test.", "198.18.99.99") for n in range(500)]
    wires += [answer(f"u{n}.{FRESH_ZONE}.", "198.18.99.98") for n in range(500)]

    def flood() -> None:
        for _ in range(FLOOD // len(wires)):
            nameserver.send(wires, ("10.77.0.2", 40_000))

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        made = connect_to_answers(net.host, FRESH_ZONE, family=4, count=500, label="flooded")
        assert (made.ok, made.refused, made.unanswered) == (500, 0, 0)
    finally:
        flooding.join()
    assert not is_open(net.host, "198.18.99.99")
    assert not is_open(net.host, "198.18.99.98")


@contextlib.contextmanager
def asking_without_end(namespace: Namespace, user: int = 0, users: int = 0) -> Iterator[None]:
    """Keep a process of *user* asking the second resolver for permitted names.

    With *users*, by sockets of so many other users that one user has subordinate ids for.
    """
    script = Path(__file__).with_name("ask_without_end.py")
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed)
    arguments = (RESOLVERS[1], FRESH_ZONE, str(cpu), str(users))
    argv = namespace.command(sys.executable, script, *arguments, user=user)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"asking\n"
            # An LRU map has lists for each CPU: a flood drops the entries of its own first.
            os.sched_setaffinity(0, {cpu})
            yield
        finally:
            os.sched_setaffinity(0, allowed)
            process.kill()


def received(namespace: Namespace) -> int:
    """Return how many packets the interfaces of *namespace* have received."""
    lines = Path(f"/proc/{namespace.pid}/net/dev").read_text("utf-8").splitlines()[2:]
    return sum(int(line.partition(":")[2].split()[1]) for line in lines)


@pytest.mark.parametrize("origin", ["user", "subordinate users", "container"])
def test_a_flood_of_permitted_queries_is_forgotten_alone(
    lab: Lab, policy: str, origin: str
) -> None:
    """Others' queries are remembered until they are answered, however many one asker has.

    One process could ask for permitted names so fast that the map dropped other queries
    before their answers came, and first connections were refused.
    """
    net = lab.net
    # Never answered, and no burden for the name server that answers the others.
    net.world.nft(
        "table inet lab_silent { chain silent { type filter hook prerouting priority raw\n"
        f"ip6 daddr {RESOLVERS[1]} udp dport 53 drop\n}}\n}}"
    )
    namespace = net.container if origin == "container" else net.host
    user = NOBODY if origin == "user" else 0
    users = SUBORDINATES if origin == "subordinate users" else 0
    answer_at_once = lab.nameserver.respond

    def answer_late(wire: bytes, max_size: int) -> bytes | None:
        enough = received(net.world) + 2 * MAX_QUERIES
        until(lambda: received(net.world) > enough, ANSWERED_WITHIN_S, "a map full of queries")
        return answer_at_once(wire, max_size)

    with running(net, policy) as enforcer, asking_without_end(namespace, user, users):
        lab.nameserver.respond = answer_late  # type: ignore[method-assign]
        made = connect_to_answers(net.host, FRESH_ZONE, family=4, count=10, label="calm")
        assert (made.ok, made.refused, made.unanswered) == (10, 0, 0)
        assert enforcer.status()["learning"]["excess"] > 0


def test_queries_for_other_names_change_nothing(shared_lab: Lab, enforcer: Enforcer) -> None:
    """Clients that ask for thousands of other names get their answers, and nothing is learned."""
    zone = "fresh.other.test"
    shared_lab.nameserver.fresh(zone)
    before = enforcer.status()["learning"]["learned"]
    made = connect_to_answers(shared_lab.net.host, zone, family=4, count=2000)
    assert (made.refused, made.unanswered) == (2000, 0)
    made = connect_to_answers(shared_lab.net.host, FRESH_ZONE, family=4, count=200, label="among")
    assert made.ok == 200
    learning = enforcer.status()["learning"]
    assert learning["learned"] - before == 200
    assert learning["lost"] == 0


def test_addresses_of_lost_answers_live_to_their_end(lab: Lab, policy: str) -> None:
    """Answers that come while the daemon is held up are kept, host or no host.

    Where the ring overflowed, an address was open for the minute that the packet path
    gives it, and then only to connections that bear the mark: not to a container's, nor
    to a socket with somebody else's mark; and the daemon was degraded from then on.
    """
    label = "x" * 60
    with running(lab.net, policy) as enforcer:
        lab.nameserver.given.clear()
        with stopped(enforcer):
            made = connect_to_answers(
                lab.net.host, FRESH_ZONE, family=6, count=6000, label=f"{label}.{label}.n"
            )
            assert made.ok == 6000, "first connections need no daemon"
        given = set(lab.nameserver.given)
        state = Host(lab.net.host)
        try:

            def kept() -> bool:
                elements = state.inspect().elements
                short = (e for e in elements if not e.comment or (e.expires_s or 0) < 100)
                return not any(str(e.address) in given for e in short)

            until(kept, MADE_GOOD_WITHIN_S, "the lifetimes of all addresses")
            comments = {str(e.address): e.comment for e in state.inspect().elements}
            assert given <= comments.keys()
        finally:
            state.firewall.close()
        status = enforcer.status()
        assert status["learning"]["lost"] > 0, "the ring held everything: nothing was tested"
        assert status["healthy"], status["problems"]
        unnamed = [a for a in given if comments[a] == "(unknown host)"]
        assert len(unnamed) >= status["learning"]["lost"]
        await_open(lab.net.container, unnamed[0])
        # Nobody knows whether another policy permits them.
        enforcer.reload(policy.replace(f"*.{FRESH_ZONE}", f"*.a.{FRESH_ZONE}"))
        until(lambda: not is_open(lab.net.host, unnamed[0]), OPENED_WITHIN_S, "the reload")


def test_the_soonest_to_end_give_way_to_new_addresses(lab: Lab, policy: str) -> None:
    """Of 65,536 open addresses those with the least time left make room for the next.

    It is counted and told, a connection in use goes on, and what lives longest stays
    open though the kernel's own map has let go of it. With no more room in the sets
    than addresses in the books, the packet path could not add the next one: its first
    connection was refused.
    """
    host, nameserver, zone = lab.net.host, lab.nameserver, f"wide.{FRESH_ZONE}"
    ports = [443, *range(9001, 9016)]
    nameserver.add(f"early.{zone}", "198.18.7.7", ttl_s=60)
    nameserver.add(f"lasting.{zone}", "198.18.8.8", ttl_s=80_000)
    fill = [f"fill{n}.{zone}" for n in range(MAX_LEARNED // (60 * len(ports)) + 2)]
    for number, name in enumerate(fill):
        nameserver.add(name, *(f"198.18.{100 + number}.{n}" for n in range(1, 61)), ttl_s=3000)
    with running(lab.net, f'{policy}  - host: "*.{zone}"\n    ports: {ports}\n') as enforcer:
        for name in (f"early.{zone}", f"lasting.{zone}"):
            ask(host, RESOLVERS[0], name)
        await_open(host, "198.18.7.7", "198.18.8.8")
        # The socket that stays is of a process that nothing marks for.
        element = "get element inet enforcer allow4 { 198.18.7.7 . 9001 }"
        until(
            lambda: host.run("nft", *element.split(), check=False).returncode == 0,
            OPENED_WITHIN_S,
            "the other port",
        )
        with connected(host, lab.net.world, "198.18.7.7", 9001) as (ours, theirs):
            for name in fill:
                ask(host, RESOLVERS[0], name)
            until(lambda: not held(enforcer, f"early.{zone}"), MADE_GOOD_WITHIN_S, "the room")
            # The books know a moment before the kernel does.
            until(lambda: not is_open(host, "198.18.7.7"), MADE_GOOD_WITHIN_S, "the end")
            assert is_open(host, "198.18.8.8")
            made = connect_to_answers(host, FRESH_ZONE, family=4, count=100)
            assert (made.ok, made.refused) == (100, 0)
            ours.sendall(b"still here")
            assert theirs.recv(100) == b"still here"

        def told() -> bool:
            status = enforcer.status()
            shown = any("as many as there is room for" in p["text"] for p in status["problems"])
            return shown and status["learning"]["gave_way"] > len(ports)

        until(told, MADE_GOOD_WITHIN_S, "the problem to be told")
        until(lambda: enforcer.status()["healthy"], MADE_GOOD_WITHIN_S, "the flood to be over")
