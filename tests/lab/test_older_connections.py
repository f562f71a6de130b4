"""Connections that were open before: which go on when enforcement begins or changes."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import pytest

from enforcer.core.destinations import Connection, Destination
from enforcer.edge.conntrack import end_connections
from tests.lab.asking import ask, await_held, is_open
from tests.lab.daemon import running
from tests.lab.forge import IPV6_FREEBIND, forge_datagram
from tests.lab.guarded import Ends, connected, goes_on, udp, without_tracking
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.second import ADDRESSES as SECOND
from tests.lab.second import second_container
from tests.lab.topology import RESOLVERS, Topology
from tests.lab.wait import until

pytestmark = [pytest.mark.root, pytest.mark.needs("ct")]

PORT, PORT_OF_A_SERVER = 9443, 500
POLICY = """\
version: 1
organization: lab
hosts:
  - host: registry.allowed.test
    ports: [9443, 9444]
"""
SHORT_LIVED = """\
version: 1
organization: lab
dns: {min_ttl: 10, grace: 0}
hosts:
  - host: "*.kept.test"
    ports: [9443, 9444]
"""
OWN = ("10.77.0.2", "fd77::2")
EVIL = ("198.18.66.66", "2001:db8::66:66")
EVIL_PORT = 4444
NOBODY = 65534
both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])

# Entries of connection tracking, one for each destination.
_MANY = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for host in range(1, 101):
    for port in range(10001, 11001):
        sock.sendto(b"", (f"127.0.{host}.9", port))
"""
# Arguments: own address, somebody else's, his port. Any user may bind to the latter.
_FORGE = f"""
import socket, sys
own, evil, port = sys.argv[1:]
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IPV6, {IPV6_FREEBIND}, 1)
sock.bind((evil, int(port)))
sock.sendto(b"forged", (own, {PORT}))
"""


def outgoing(net: Topology, version: int) -> dict[str, tuple[Namespace, Namespace, str]]:
    """Return what leaves the machine: client, server and address, by what it is."""
    allowed, denied = ALLOWED.addresses[version], DENIED.addresses[version]
    return {
        "host to permitted": (net.host, net.world, allowed),
        "container to permitted": (net.container, net.world, allowed),
        "host to denied": (net.host, net.world, denied),
        "container to denied": (net.container, net.world, denied),
    }


def others(
    net: Topology, second: Namespace, version: int
) -> dict[str, tuple[Namespace, Namespace, str]]:
    """Return what does not, or came from outside."""
    inside = ("172.30.0.2", "fd30::2")[version]
    return {
        "world to host": (net.world, net.host, OWN[version]),
        "host to itself": (net.host, net.host, ("127.0.0.1", "::1")[version]),
        "host to container": (net.host, net.container, inside),
        "container to host": (net.container, net.host, OWN[version]),
        "container to container": (net.container, second, SECOND[version]),
    }


@contextlib.contextmanager
def open_all(kinds: dict[str, tuple[Namespace, Namespace, str]]) -> Iterator[dict[str, Ends]]:
    """Yield a connection of each kind, each to a port of its own."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: stack.enter_context(connected(*kinds[kind], PORT + number))
            for number, kind in enumerate(kinds)
        }


@both_families
def test_only_what_is_permitted_goes_on_when_enforcement_begins(
    world: Topology, version: int
) -> None:
    """What was opened before is judged as if it began now; what came from outside goes on.

    The session in which enforcer was just started must, too.
    """
    with second_container(world) as second:
        kinds = outgoing(world, version) | others(world, second, version)
        with open_all(kinds) as connections:
            with running(world, POLICY):
                went_on = {kind for kind, ends in connections.items() if goes_on(ends)}
            assert went_on == {kind for kind in kinds if "denied" not in kind}


@both_families
def test_audit_mode_ends_no_connection_and_enforcing_does(world: Topology, version: int) -> None:
    """The policy that goes from audit to enforce judges what is open then."""
    with (
        open_all(outgoing(world, version)) as connections,
        running(world, f"{POLICY}mode: audit\n") as enforcer,
    ):
        assert all(map(goes_on, connections.values()))
        enforcer.put_in_force(POLICY)
        went_on = {kind for kind, ends in connections.items() if goes_on(ends)}
        assert went_on == {"host to permitted", "container to permitted"}


@both_families
def test_a_host_that_the_policy_loses_loses_its_connections(world: Topology, version: int) -> None:
    """And only it: one whose address has expired meanwhile goes on."""
    both = f"{POLICY}  - host: registry.denied.test\n    ports: [9445, 9446]\n"
    with running(world, both) as enforcer, open_all(outgoing(world, version)) as connections:
        assert all(map(goes_on, connections.values()))
        allowed = ALLOWED.addresses[version]
        kind = ("allow4", "allow6")[version]
        world.host.nft(f"delete element inet enforcer {kind} {{ {allowed} . 9443 }}")
        enforcer.put_in_force(POLICY)
        went_on = {kind for kind, ends in connections.items() if goes_on(ends)}
        assert went_on == {"host to permitted", "container to permitted"}
        assert enforcer.status()["healthy"]


def test_a_network_that_the_policy_loses_loses_its_connections(world: Topology) -> None:
    """What a network permitted ends with it."""
    networks = 'networks: ["198.18.0.16/28", "2001:db8::20/128"]\n'
    with (
        running(world, POLICY + networks) as enforcer,
        open_all(outgoing(world, 0)) as four,
        open_all(outgoing(world, 1)) as six,
    ):
        enforcer.put_in_force(POLICY)
        for connections in (four, six):
            went_on = {kind for kind, ends in connections.items() if goes_on(ends)}
            assert went_on == {"host to permitted", "container to permitted"}


def test_a_new_daemon_lets_live_what_a_killed_one_did(world: Topology) -> None:
    """The ruleset was in force all the time: what it let live has been judged."""
    both = f"{POLICY}  - host: registry.denied.test\n    ports: [9445, 9446]\n"
    with running(world, both) as enforcer, open_all(outgoing(world, 0)) as connections:
        world.host.nft("flush set inet enforcer allow4")
        enforcer.kill()
        enforcer.start()
        assert all(map(goes_on, connections.values()))


def test_a_new_daemon_ends_what_a_changed_table_let_begin(world: Topology) -> None:
    """Somebody had opened it while there was no daemon to see that."""
    with running(world, POLICY) as enforcer:
        enforcer.kill()
        world.host.nft("insert rule inet enforcer output accept")
        with connected(world.host, world.world, DENIED.addresses[0], PORT) as ends:
            assert goes_on(ends)
            enforcer.start()
            assert not goes_on(ends)


@pytest.mark.needs("ct-label")
@both_families
def test_a_servers_session_goes_on_whichever_end_speaks_first(
    world: Topology, version: int
) -> None:
    """Where nothing had tracked it, a server that spoke first seemed to have begun it."""
    with (
        without_tracking(world),
        connected(world.world, world.host, OWN[version], PORT_OF_A_SERVER) as ends,
        running(world, f"{POLICY}mode: audit\n") as enforcer,
    ):
        assert goes_on(ends[::-1])
        enforcer.put_in_force(POLICY)
        assert goes_on(ends[::-1])


@pytest.mark.needs("ct-label")
@pytest.mark.parametrize("origin", ["host", "container"])
def test_only_what_began_without_a_table_ends_when_it_is_back(
    world: Topology, lab: Lab, origin: str
) -> None:
    """A connection that is older than its address goes on: it was judged when it began.

    It was ended, as if it had begun while somebody's `nft flush ruleset` had left the
    machine open, where a start since then had made the programs forget the address.
    """
    name, old, other = "old.kept.test", "198.18.66.1", "198.18.66.2"
    lab.nameserver.add(name, old, ttl_s=1)
    client = {"host": world.host, "container": world.container}[origin]
    masquerade = world.host.run("nft", "list", "table", "inet", "lab_masquerade").stdout
    with running(world, SHORT_LIVED) as enforcer, contextlib.ExitStack() as stack:
        ask(world.host, RESOLVERS[0], name)
        await_held(enforcer, name, old)
        first = stack.enter_context(connected(client, world.world, old, PORT))
        enforcer.kill()
        enforcer.policy_file.write_text(f"{SHORT_LIVED}  - more.test\n")
        enforcer.start()
        until(lambda: not is_open(client, old, PORT), 40, "the end of its address")
        enforcer.process.send_signal(signal.SIGSTOP)
        world.host.nft(f"flush ruleset\n{masquerade}")
        meanwhile = stack.enter_context(connected(client, world.world, other, PORT))
        assert goes_on(first)
        assert goes_on(meanwhile)
        enforcer.process.send_signal(signal.SIGCONT)
        until(lambda: "it is put back" in enforcer.log, 20, "the repair")
        until(lambda: not goes_on(meanwhile), 20, "the end of the other")
        assert goes_on(first)


# The kernel routes no IPv4 packet of a user from an address that is not the machine's.
@pytest.mark.parametrize(("forger", "version"), [("user", 1), ("container", 0), ("container", 1)])
def test_what_was_prepared_to_look_like_a_question_is_no_way_out(
    world: Topology, forger: str, version: int
) -> None:
    """While the machine was open, somebody asked it in the name of an address outside.

    What the machine then said to that address was an answer, for as long as it said more.
    """
    own, evil = OWN[version], EVIL[version]
    with (
        udp(world.world, evil, (evil, EVIL_PORT)) as outside,
        udp(world.host, own, (own, PORT)) as asked,
    ):
        if forger == "user":
            world.host.run(sys.executable, "-c", _FORGE, own, evil, str(EVIL_PORT), user=NOBODY)
        else:
            forge_datagram(world.container, (evil, EVIL_PORT), (own, PORT), b"forged")
        assert asked.recvfrom(100)[0] == b"forged"
        asked.sendto(b"out", (evil, EVIL_PORT))
        assert outside.recv(100) == b"out"
        with running(world, POLICY):
            outside.settimeout(0.5)
            with pytest.raises(PermissionError):
                asked.sendto(b"out", (evil, EVIL_PORT))
            with pytest.raises(TimeoutError):
                outside.recv(100)


@both_families
def test_who_asked_from_outside_asks_again(world: Topology, version: int) -> None:
    """UDP that really came from there goes on with its next question.

    With the daemon after a killed one it is not even interrupted: since the ruleset is in
    force, nobody could make such a connection in another's name.
    """
    own, gateway = OWN[version], ("10.77.0.1", "fd77::1")[version]
    with (
        udp(world.world, gateway, (gateway, PORT)) as asking,
        udp(world.host, own, (own, PORT)) as asked,
    ):

        def ask() -> None:
            asking.sendto(b"question", (own, PORT))
            assert asked.recvfrom(100)[0] == b"question"

        def answer() -> None:
            asked.sendto(b"answer", (gateway, PORT))
            assert asking.recv(100) == b"answer"

        ask()
        answer()
        with running(world, POLICY) as enforcer:
            with pytest.raises(PermissionError):
                answer()
            ask()
            answer()
            enforcer.kill()
            enforcer.start()
            answer()


def test_a_hundred_thousand_connections_are_gone_through(net: Topology) -> None:
    """All are listed, those not wanted are ended, the others stay; within seconds."""
    net.host.nft(
        "table inet lab_tracking {\n  chain output {\n"
        "    type filter hook output priority 0\n    ct state new accept\n  }\n}\n"
    )
    net.host.run(sys.executable, "-c", _MANY)
    seen: set[Destination] = set()

    def unwanted(connection: Connection) -> bool:
        destination = connection.destination
        if destination.address.is_loopback:
            seen.add(destination)
        return destination.address.is_loopback and destination.port <= 10_500

    assert net.host.call(lambda: end_connections(unwanted)) == 50_000
    assert len(seen) == 100_000
    seen.clear()
    net.host.call(lambda: end_connections(unwanted))
    assert len(seen) == 50_000
    assert all(each.port > 10_500 for each in seen)
