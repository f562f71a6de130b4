"""Connections that a helper of connection tracking announces are judged like others.

A helper, which an administrator assigns in a table of his own, reads a protocol such as
FTP: the connections it announces are `related` to the one it read, and a ruleset that
accepts `related` lets them go to any port.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from enforcer.core.ruleset import FULL
from tests.lab.forge import forge_datagram
from tests.lab.guarded import Host, connect, connected, element, udp
from tests.lab.topology import BRIDGE, Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

TRUSTING = replace(FULL, ct_label=False)
PERMITTED = ("198.18.0.1", "2001:db8::1")
EVIL = ("198.18.66.66", "2001:db8::66:66")
OWN = ("10.77.0.2", "fd77::2")
FTP, TFTP, DATA = 21, 69, 5000
ARRIVES_WITHIN_S = 20
GREETING = b"220 ready\r\n"
# The answers to PASV (RFC 959) and EPSV (RFC 2428) that name port 5000.
PASSIVE = (
    b"227 Entering Passive Mode (198,18,0,1,%d,%d)\r\n" % divmod(DATA, 256),
    b"229 Entering Extended Passive Mode (|||%d|)\r\n" % DATA,
)
# A read request (RFC 1350), which announces an answer from any port.
READ = b"\0\1file\0octet\0"
both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
both_origins = pytest.mark.parametrize("origin", ["host", "container"])

_HELPERS = f"""
table inet lab_helpers {{
  ct helper ftp {{ type "ftp" protocol tcp; }}
  ct helper tftp {{ type "tftp" protocol udp; }}
  counter announced {{ }}
  chain assign {{
    tcp dport {FTP} ct helper set "ftp"
    udp dport {TFTP} ct helper set "tftp"
    ct state related meta l4proto {{ tcp, udp }} counter name announced
  }}
  chain prerouting {{
    type filter hook prerouting priority -150
    jump assign
  }}
  chain output {{
    type filter hook output priority -150
    jump assign
  }}
}}
"""


@pytest.fixture(autouse=True)
def helpers(net: Topology) -> Iterator[None]:
    """Assign helpers to FTP and TFTP, and count what they announce."""
    net.host.nft(_HELPERS)
    yield
    net.host.nft("delete table inet lab_helpers")
    net.host.run("conntrack", "-F")


def announced(net: Topology) -> bool:
    """Tell whether there was a connection that a helper announced since the last call."""
    listed = net.host.run("nft", "reset", "counter", "inet", "lab_helpers", "announced").stdout
    return "packets 0 " not in listed


@both_families
@both_origins
def test_a_data_connection_of_ftp_is_judged(
    net: Topology, host: Host, origin: str, version: int
) -> None:
    """The server says which port comes next: it passes if the policy has that port."""
    address, client = PERMITTED[version], getattr(net, origin)
    control, data = element(address, FTP), element(address, DATA)
    for elements, outcome in (
        ((control,), "ECONNREFUSED"),
        ((control, data), "connected"),
    ):
        host.enforce(*elements)
        with connected(client, net.world, address, FTP) as (ours, theirs):
            # The helper reads lines, and knows where one begins by the end of another.
            for said in (GREETING, PASSIVE[version]):
                theirs.sendall(said)
                assert ours.recv(100) == said
            assert connect(client, address, DATA) == outcome
            assert announced(net)


@both_families
def test_an_announced_answer_to_a_forged_question_does_not_leave(
    net: Topology, host: Host, version: int
) -> None:
    """A container asks in another's name; whom it asked may answer from any port."""
    with (
        evil(net, version) as outside,
        udp(net.host, OWN[version], (OWN[version], TFTP)) as asked,
        udp(net.host, OWN[version], (OWN[version], 0)) as answering,
    ):
        host.enforce()
        forge_datagram(net.container, (EVIL[version], DATA), (OWN[version], TFTP), READ)
        assert asked.recv(100) == READ
        with pytest.raises(PermissionError):
            answering.sendto(b"out", (EVIL[version], DATA))
        assert announced(net)
        with pytest.raises(TimeoutError):
            outside.recv(100)


@both_families
def test_an_announced_answer_that_is_forged_opens_no_way_out(
    net: Topology, host: Host, version: int
) -> None:
    """Its first packet was not `new`, so it was taken for a connection from outside.

    A process that binds to a bridge asks there, a container answers in the name of the
    one who was asked, and what the process then said to him counted as a reply.
    """
    own, other = OWN[version], EVIL[version]
    with evil(net, version) as outside, udp(net.host, own, (own, 0)) as asking:
        for capabilities, gets_out in ((TRUSTING, True), (FULL, False)):
            net.host.run("conntrack", "-F")
            host.enforce(capabilities=capabilities)
            with bound_to_the_bridge(net, asking, other):
                asking.sendto(READ, (other, TFTP))
            to = (own, asking.getsockname()[1])

            def arrives(to: tuple[str, int] = to) -> bool:
                forge_datagram(net.container, (other, DATA), to, b"forged")
                try:
                    return asking.recv(100) == b"forged"
                except TimeoutError:  # the first waits for a neighbour to be found
                    return False

            until(arrives, ARRIVES_WITHIN_S, "what was forged")
            assert announced(net)
            if gets_out:
                asking.sendto(b"out", (other, DATA))
                assert outside.recv(100) == b"out"
            else:
                with pytest.raises(PermissionError):
                    asking.sendto(b"out", (other, DATA))


@both_families
def test_an_announced_answer_by_a_bridge_opens_no_other_way(
    net: Topology, host: Host, version: int
) -> None:
    """What the machine itself begins is labelled as well when a helper announced it."""
    own, other = OWN[version], EVIL[version]
    with (
        evil(net, version) as outside,
        udp(net.host, own, (own, TFTP)) as asked,
        udp(net.host, own, (own, 0)) as answering,
    ):
        for capabilities, gets_out in ((TRUSTING, True), (FULL, False)):
            net.host.run("conntrack", "-F")
            host.enforce(capabilities=capabilities)
            forge_datagram(net.container, (other, DATA), (own, TFTP), READ)
            assert asked.recv(100) == READ
            with bound_to_the_bridge(net, answering, other):
                answering.sendto(b"answer", (other, DATA))
            assert announced(net)
            forge_datagram(net.container, (other, DATA), answering.getsockname()[:2], b"forged")
            assert answering.recv(100) == b"forged"
            if gets_out:
                answering.sendto(b"out", (other, DATA))
                assert outside.recv(100) == b"out"
            else:
                with pytest.raises(PermissionError):
                    answering.sendto(b"out", (other, DATA))


@both_families
def test_an_error_about_what_came_from_outside_labels_nothing(
    net: Topology, host: Host, version: int
) -> None:
    """It is `related` too; with its label the connection would count as begun inside."""
    own = OWN[version]
    gateway = ("10.77.0.1", "fd77::1")[version]
    host.enforce()
    with udp(net.world, gateway, (gateway, 0)) as asking:
        asking.connect((own, DATA))
        asking.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(1)
        with udp(net.host, own, (own, DATA)) as server:
            asking.send(b"question")
            server.sendto(b"answer", server.recvfrom(100)[1])
            assert asking.recv(100) == b"answer"
    assert host.denied() == 0


@contextlib.contextmanager
def evil(net: Topology, version: int) -> Iterator[socket.socket]:
    """Yield a socket of nobody's permitted address in the world."""
    with udp(net.world, EVIL[version], (EVIL[version], DATA)) as sock:
        sock.settimeout(0.5)
        yield sock


@contextlib.contextmanager
def bound_to_the_bridge(net: Topology, sock: socket.socket, address: str) -> Iterator[None]:
    """Have *sock* send to *address* by the bridge, as any user may (Linux 5.7)."""
    if ":" in address:  # IPv4 takes any address for one of the link
        net.host.ip(f"route add {address} dev {BRIDGE}")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, BRIDGE.encode())
    yield
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
    if ":" in address:
        net.host.ip(f"route del {address} dev {BRIDGE}")
