"""The kernel's log of packets, without the daemon: what is read of it, and what is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from enforcer.edge.nflog import PacketLog
from enforcer.errors import DatapathError
from tests.lab.guarded import family, udp
from tests.lab.namespace import Namespace
from tests.lab.topology import Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

GROUP = 4711
TABLE = "packet_log_test"
# More than fit, whatever the socket's buffer is told.
FLOOD = 5_000


@pytest.fixture
def logged(net: Topology) -> Iterator[PacketLog]:
    """Return a listener on the host, where all UDP to port 7000 is logged, without a limit."""
    host = net.host
    host.nft(f"""
        table inet {TABLE} {{
          chain output {{
            type filter hook output priority 0
            udp dport 7000 log group {GROUP} snaplen 128 drop
          }}
          chain forward {{
            type filter hook forward priority 0
            udp dport 7000 log group {GROUP} snaplen 128 drop
          }}
        }}
    """)
    log = host.call(lambda: PacketLog(GROUP))
    yield log
    log.close()
    host.nft(f"delete table inet {TABLE}")


def send(namespace: Namespace, address: str, count: int = 1) -> None:
    """Send *count* datagrams, which an error of the ruleset does not stop."""
    with udp(namespace, address) as sock:
        for _ in range(count):
            with contextlib.suppress(PermissionError):
                sock.sendto(b"x", (address, 7000))


@pytest.mark.parametrize("address", ["198.18.0.7", "2001:db8::7"])
@pytest.mark.parametrize("where", ["host", "container"])
def test_a_packet_is_told_with_its_flow(
    net: Topology, logged: PacketLog, where: str, address: str
) -> None:
    """The machine's own has a user and no interface, a forwarded one the other way round."""
    send(getattr(net, where), address)
    (packet,) = until(lambda: logged.read(10), 5, "the packet")
    to = packet.flow.destination
    assert (str(to.address), to.protocol, to.port) == (address, 17, 7000)
    assert packet.flow.source_port > 0
    assert (packet.uid, packet.interface_in == 0) == (
        (0, True) if where == "host" else (None, False)
    )
    assert family(address) == family(str(packet.flow.source))


def test_what_is_lost_is_counted(net: Topology, logged: PacketLog) -> None:
    """By the numbers that the kernel gives them, once the next one arrives."""
    send(net.host, "198.18.0.7", FLOOD)
    taken = 0
    while packets := logged.read(1000):
        taken += len(packets)
    assert 100 < taken < FLOOD
    send(net.host, "198.18.0.7")
    taken += len(until(lambda: logged.read(10), 5, "the next packet"))
    assert logged.lost == FLOOD + 1 - taken


def test_a_group_has_one_listener(net: Topology, logged: PacketLog) -> None:
    """The second is told whose fault it is."""
    assert logged.fileno() >= 0
    with pytest.raises(DatapathError, match="another program does") as caught:
        net.host.call(lambda: PacketLog(GROUP))
    assert f"nflog group {GROUP}" in (caught.value.hint or "")
