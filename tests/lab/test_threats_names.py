"""Ways round, by names and answers: nothing but a trusted resolver's answer opens anything."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import dns.message
import dns.name
import dns.rrset
import pytest

from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt, attempts
from tests.lab.guarded import connect, listener
from tests.lab.lab import PORTS, Lab
from tests.lab.nameserver import Nameserver
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED
from tests.lab.threats import Labs, reaches, two_labs
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
_numbers = itertools.count(1)
_NOBODY = 65534

# An answer to oneself in a network of one's own, where the resolver's address is too.
_OWN_WORLD = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", sys.argv[1], "dev", "lo"], check=True)
server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
server.bind((sys.argv[1], 53))
client.settimeout(2)
client.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 53))
query, asked = server.recvfrom(512)
server.sendto(bytes.fromhex(sys.argv[3]), asked)
assert client.recv(512)
"""


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Return both labs, for all tests here."""
    with two_labs() as made:
        yield made


@pytest.fixture
def evil(version: int) -> str:
    """Return an address that nothing permits, and no other test uses."""
    number = next(_numbers)
    return (f"198.18.77.{number}", f"2001:db8:77::{number:x}")[version]


@pytest.fixture
def name() -> str:
    """Return a permitted name that nobody asked for yet."""
    return f"t{next(_numbers)}.{FRESH_ZONE}"


def kind(address: str) -> str:
    """Return the type of record that holds *address*."""
    return "AAAA" if ":" in address else "A"


def question(name: str, address: str) -> dns.message.QueryMessage:
    """Return the query whose answer is *address*."""
    return dns.message.make_query(name, kind(address))


def answer(query: dns.message.QueryMessage, owner: str, address: str) -> dns.message.Message:
    """Return the answer that gives *address* to *owner*."""
    response = dns.message.make_response(query)
    absolute = dns.name.from_text(owner)
    response.answer.append(dns.rrset.from_text(absolute, 300, "IN", kind(address), address))
    return response


def ask(namespace: Namespace, name: str, address: str, resolver: str = RESOLVERS[0]) -> bytes:
    """Send the query over UDP; return what comes back, or nothing."""
    wire = question(name, address).to_wire()

    def asked() -> bytes:
        version = socket.AF_INET6 if ":" in resolver else socket.AF_INET
        with socket.socket(version, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.sendto(wire, (resolver, 53))
            try:
                return sock.recv(4096)
            except TimeoutError:
                return b""

    return namespace.call(asked)


@both_families
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_hosts_file(labs: Labs, origin: str, evil: str) -> None:
    """A permitted name that the hosts file maps elsewhere leads to nothing there."""

    def gets_out(lab: Lab) -> bool:
        namespace: Namespace = getattr(lab.net, origin)
        before = namespace.hosts_file.read_text()
        namespace.hosts_file.write_text(f"{before}{evil} {ALLOWED.name}\n")
        try:
            made = attempt(namespace, ALLOWED.name)
        finally:
            namespace.hosts_file.write_text(before)
        assert made.address == evil
        return made.outcome == "connected"

    labs.refute(gets_out)


@both_families
def test_a_name_server_of_ones_own_on_the_machine(labs: Labs, name: str, evil: str) -> None:
    """It is no trusted resolver: its answers are heard by who asks, and open nothing."""

    def gets_out(lab: Lab) -> bool:
        server = Nameserver()
        server.add(name, evil)
        with server.serving(lab.net.host, "127.0.0.66"):
            assert ip_address(evil).packed in ask(lab.net.host, name, evil, "127.0.0.66")
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@both_families
def test_a_name_server_of_ones_own_on_the_network(
    labs: Labs, name: str, version: int, evil: str
) -> None:
    """Its answers do not even come."""
    stranger = ("198.18.53.53", "2001:db8::53:53")[version]

    def gets_out(lab: Lab) -> bool:
        server = Nameserver()
        server.add(name, evil)
        with server.serving(lab.net.world, stranger):
            try:
                heard = ask(lab.net.host, name, evil, stranger)
            except PermissionError:
                heard = b""
        return bool(heard) and reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@both_families
def test_a_network_of_ones_own_with_the_resolvers_address(labs: Labs, name: str, evil: str) -> None:
    """Any user makes one (`unshare -Urn`); its answers pass no interface of the machine."""
    asked = question(name, evil)
    wires = (asked.to_wire().hex(), answer(asked, name, evil).to_wire().hex())

    def gets_out(lab: Lab) -> bool:
        program = (sys.executable, "-c", _OWN_WORLD, RESOLVERS[0], *wires)
        unshare = ("unshare", "--user", "--map-root-user", "--net")
        lab.net.host.run(*unshare, *program, user=_NOBODY)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@both_families
@pytest.mark.parametrize("mistake", ["id", "port", "unasked", "name"])
def test_a_forged_answer_from_the_network(labs: Labs, mistake: str, name: str, evil: str) -> None:
    """From the resolver's address and port, but not the answer to what was asked."""

    def gets_out(lab: Lab) -> bool:
        host = lab.net.host
        sock = host.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with sock:
            sock.settimeout(2)
            sock.bind(("10.77.0.2", 0))
            port = sock.getsockname()[1]
            asked = question(name, evil)
            # The true one never comes; the forged one is sent in its place.
            lab.nameserver.silence(name)
            if mistake != "unasked":
                sock.sendto(asked.to_wire(), (RESOLVERS[0], 53))
                until(lambda: lab.nameserver.queries[name, kind(evil)] > 0, 5, "the query")
            forged = answer(asked, name, evil)
            if mistake == "id":
                forged.id ^= 1
            elif mistake == "name":
                other = question(ALLOWED.name, evil)
                other.id = asked.id
                forged = answer(other, "other.example", evil)
            target = port + 1 if mistake == "port" else port
            _from_resolver(lab.net.world, ("10.77.0.2", target), forged.to_wire())
            if mistake != "port":
                assert sock.recv(4096)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


def _from_resolver(world: Namespace, target: tuple[str, int], payload: bytes) -> None:
    """Send from the port that the name server has."""
    _forge(world, RESOLVERS[0], target, payload)


def _forge(namespace: Namespace, source: str, target: tuple[str, int], payload: bytes) -> None:
    datagram = struct.pack("!HHHH", 53, target[1], 8 + len(payload), 0) + payload
    addresses = ip_address(source).packed + ip_address(target[0]).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(header + addresses + datagram, (target[0], 0))

    namespace.call(send)


@both_families
@pytest.mark.parametrize("asked_before", [True, False], ids=["asked", "unasked"])
def test_a_forged_answer_from_a_container(
    labs: Labs, name: str, evil: str, *, asked_before: bool
) -> None:
    """With the resolver's address as its source, to a query it asked itself or to none.

    It comes in by the container's bridge, where no resolver is.
    """

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.silence(name)
        asked = question(name, evil)
        container = lab.net.container
        with container.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.bind(("172.30.0.2", 0))
            if asked_before:
                sock.sendto(asked.to_wire(), (RESOLVERS[0], 53))
                until(lambda: lab.nameserver.queries[name, kind(evil)] > 0, 5, "the query")
            port = sock.getsockname()[1]
        forged = answer(asked, name, evil).to_wire()
        for target in ("10.77.0.2", "172.30.0.1"):
            _forge(container, RESOLVERS[0], (target, port), forged)
        return reaches(lab, "container", "tcp", evil)

    labs.refute(gets_out)


def _in_additional(query: dns.message.QueryMessage, _: str, evil: str) -> dns.message.Message:
    response = dns.message.make_response(query)
    owner = query.question[0].name
    response.additional.append(dns.rrset.from_text(owner, 300, "IN", kind(evil), evil))
    return response


def _in_authority(query: dns.message.QueryMessage, _: str, evil: str) -> dns.message.Message:
    response = dns.message.make_response(query)
    owner = query.question[0].name
    response.authority.append(dns.rrset.from_text(owner, 300, "IN", kind(evil), evil))
    return response


def _of_another(query: dns.message.QueryMessage, name: str, evil: str) -> dns.message.Message:
    response = answer(query, name, ALLOWED.addresses[":" in evil])
    response.answer.append(dns.rrset.from_text("other.example.", 300, "IN", kind(evil), evil))
    return response


def _of_the_zone(query: dns.message.QueryMessage, name: str, evil: str) -> dns.message.Message:
    # Its owner is a pointer into QNAME, like those of the records that count.
    response = answer(query, name, ALLOWED.addresses[":" in evil])
    zone = dns.name.from_text(FRESH_ZONE)
    response.answer.append(dns.rrset.from_text(zone, 300, "IN", kind(evil), evil))
    return response


@both_families
@pytest.mark.parametrize("where", [_in_additional, _in_authority, _of_another, _of_the_zone])
def test_records_that_were_not_asked_for(
    labs: Labs,
    where: Callable[[dns.message.QueryMessage, str, str], dns.message.Message],
    name: str,
    evil: str,
) -> None:
    """An answer opens what the name led to, step by step, and nothing beside it.

    An owner written in full is no plain form whoever it is: only one that points, as
    the zone's does, shows that owners are compared.
    """

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.script(name, lambda query: where(query, name, evil))
        assert ip_address(evil).packed in ask(lab.net.host, name, evil)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@pytest.mark.parametrize(
    "inside",
    ["10.200.0.1", "172.20.0.1", "192.168.200.1", "100.64.0.1", "169.254.169.254", "fd99::1"],
)
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_permitted_name_that_leads_inside(
    labs: Labs, origin: str, name: str, inside: str
) -> None:
    """Rebinding: what an answer may never open, or only for a host marked private."""

    def gets_out(lab: Lab) -> bool:
        lab.net.world.run("ip", "route", "replace", "local", inside, "dev", "lo")
        lab.net.host.run("ip", "route", "replace", inside, "via", RESOLVERS[":" in inside])
        lab.nameserver.add(name, inside)
        namespace: Namespace = getattr(lab.net, origin)
        (made,) = (each for each in attempts(namespace, name) if each.address == inside)
        return made.outcome == "connected"

    labs.refute(gets_out)


@pytest.mark.parametrize("port", [53, 443, 853], ids=["DNS over TCP", "DoH", "DoT"])
@both_families
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_public_resolver(labs: Labs, origin: str, port: int, version: int) -> None:
    """Whatever way there is to ask it: it is just not on the list."""
    resolver = ("198.18.8.8", "2001:db8:8888::8")[version]

    def gets_out(lab: Lab) -> bool:
        namespace: Namespace = getattr(lab.net, origin)
        with contextlib.ExitStack() as stack:
            if port not in PORTS:  # where every address of the world answers
                stack.enter_context(listener(lab.net.world, resolver, port))
            return connect(namespace, resolver, port) == "connected"

    labs.refute(gets_out)


@pytest.mark.parametrize("pattern", ["*.com", "*.github.io", "*.cloudfront.net", "*.co.uk"])
def test_a_wildcard_over_a_public_suffix(labs: Labs, pattern: str) -> None:
    """Names that anybody can register below are no policy."""
    policy = labs.enforcer.directory / "suffix.yaml"
    policy.write_text(f'version: 1\norganization: lab\nhosts: ["{pattern}"]\n')
    validate = labs.enforcer.argv("policy")[:2]
    refused = labs.closed.net.host.run(*validate, "validate", policy, check=False)
    assert refused.returncode == 2
    assert pattern in refused.stderr
