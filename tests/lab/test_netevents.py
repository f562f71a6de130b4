"""What the kernel announces wakes whoever it concerns, and nobody else."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator

import pytest

from enforcer.edge.netevents import NetworkEvents, NftablesEvents
from tests.lab.guarded import Host, element
from tests.lab.topology import Topology

pytestmark = pytest.mark.root


@pytest.fixture
def events(host: Host) -> Iterator[NftablesEvents]:
    """Return events of everybody but the firewall's own socket, none of them yet."""
    host.enforce()
    with contextlib.closing(
        host.namespace.call(lambda: NftablesEvents(host.firewall.port))
    ) as made:
        yield made


def heard(events: NetworkEvents | NftablesEvents) -> bool:
    """Tell whether anything was announced: it is, before the command that does it returns."""
    readable, _, _ = select.select([events], [], [], 0)
    return bool(readable) and events.drain()


def test_changes_of_our_own_sets_are_no_news(host: Host, events: NftablesEvents) -> None:
    """They come with each answer; somebody else's, of ours and of his, are."""
    for number in range(3):
        host.firewall.program([element(f"198.18.0.{number + 1}")])
        host.firewall.delete([(element("198.18.0.1").address, 443)])
        assert not heard(events)
        host.namespace.nft(f"add table ip theirs{number}")
        assert heard(events)
        host.namespace.nft(
            f"add element inet enforcer allow4 {{ 198.18.0.{number + 9} . 443 timeout 1h }}"
        )
        assert heard(events)
        assert not heard(events)


def test_more_than_is_kept_is_news(host: Host, events: NftablesEvents) -> None:
    """Announcements that the kernel had no room for (ENOBUFS) are one, and the last."""
    host.namespace.run("nft", "-i", stdin="add table ip s\ndelete table ip s\n" * 1000)
    assert heard(events)
    assert not heard(events)


@pytest.mark.parametrize(
    "command",
    [
        "ip link add br-new type bridge",
        "ip address add 10.9.9.9/32 dev eth0",
        "tc qdisc add dev eth0 clsact",
        "tc qdisc del dev eth0 clsact",
        "ip address del 10.9.9.9/32 dev eth0",
        "ip link del br-new",
    ],
)
def test_what_happens_to_the_network_is_news(net: Topology, command: str) -> None:
    """Interfaces, addresses, and what is on them."""
    with contextlib.closing(net.host.call(NetworkEvents)) as events:
        net.host.run(*command.split())
        assert heard(events)
