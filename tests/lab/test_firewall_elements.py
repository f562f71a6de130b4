"""Elements programmed by user space, next to those the packet path adds."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from enforcer.core.elements import TimedElement
from enforcer.core.sets import SET_SIZE
from enforcer.core.table import ListedElement
from enforcer.errors import DatapathError
from tests.lab.guarded import NONCE, Host, connect, element, family
from tests.lab.topology import Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

ADDRESSES = ("198.18.0.1", "2001:db8::1")
BASES = (IPv4Address("198.18.0.0"), IPv6Address("2001:db8::"))

# Run without any right; what comes of it is printed.
_UNPRIVILEGED = """
from ipaddress import ip_address
from enforcer.core.elements import TimedElement
from enforcer.edge.firewall import Firewall
from enforcer.errors import DatapathError
firewall = Firewall()
for attempt in (
    lambda: firewall.program([TimedElement(ip_address("198.18.0.1"), 443, 1000, "")]),
    lambda: firewall.delete([(ip_address("198.18.0.1"), 443)]),
    lambda: firewall.apply("table inet enforcer { }"),
    firewall.inspect,
):
    try:
        attempt()
    except DatapathError as error:
        print(error.hint)
"""


@pytest.fixture
def host(host: Host) -> Host:
    """Return a firewall of the test's own, whose ruleset permits nothing yet."""
    host.enforce()
    return host


def many(count: int, comment: str = "") -> list[TimedElement]:
    """Return *count* elements of each family, for an hour."""
    return [
        TimedElement(base + number, 443, 3_600_000, comment)
        for base in BASES
        for number in range(1, count + 1)
    ]


def listed(host: Host, address: str, port: int = 443) -> ListedElement:
    """Return the one element of *address* and *port*."""
    found = host.inspect().elements
    (one,) = (each for each in found if (str(each.address), each.port) == (address, port))
    return one


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_programmed_element_opens_its_destination(
    net: Topology, host: Host, address: str
) -> None:
    """Refused before, connected right after, with lifetime and comment as given."""
    assert connect(net.host, address) == "ECONNREFUSED"
    host.firewall.program([element(address, timeout_ms=3_600_000, comment="*.pkg.dev, ghcr.io")])
    assert connect(net.host, address) == "connected"
    assert connect(net.host, address, 5000) == "ECONNREFUSED"
    one = listed(host, address)
    assert one.comment == "*.pkg.dev, ghcr.io"
    assert one.expires_s in (3599, 3600)


@pytest.mark.parametrize("address", ADDRESSES)
def test_user_space_replaces_what_the_packet_path_added(
    net: Topology, host: Host, address: str
) -> None:
    """Lifetime and comment become exact, in either direction."""
    assert connect(net.host, address, mark=NONCE) == "connected"
    added = listed(host, address)
    assert added.comment == ""
    for timeout_s, comment in ((3600, "ghcr.io"), (7, "quay.io"), (600, "")):
        host.firewall.program([element(address, timeout_ms=timeout_s * 1000, comment=comment)])
        one = listed(host, address)
        assert one.comment == comment
        assert one.expires_s in (timeout_s - 1, timeout_s)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_packet_path_keeps_what_user_space_programmed(
    net: Topology, host: Host, address: str
) -> None:
    """A marked SYN to a known destination changes nothing about its element."""
    host.firewall.program([element(address, timeout_ms=3_600_000, comment="ghcr.io")])
    assert connect(net.host, address, mark=NONCE) == "connected"
    one = listed(host, address)
    assert one.comment == "ghcr.io"
    assert one.expires_s in (3599, 3600)


def test_nothing_is_refused_while_elements_are_replaced(net: Topology, host: Host) -> None:
    """Connections go through during 1,000 replacements of their element."""
    neighbours = many(20, "ghcr.io")
    host.firewall.program(neighbours)
    replaced = 0
    outcomes: list[str] = []
    enough = threading.Event()

    def replace() -> None:
        nonlocal replaced
        while not enough.is_set():
            replaced += 1
            host.firewall.program(
                [TimedElement(e.address, e.port, 3_600_000, f"{replaced}") for e in neighbours]
            )

    def hammer() -> None:
        while min(replaced, len(outcomes)) < 1000:
            for address in ADDRESSES:
                with socket.socket(family(address), socket.SOCK_STREAM) as sock:
                    outcomes.append(errno.errorcode.get(sock.connect_ex((address, 443)), "ok"))

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        net.host.call(hammer)
    finally:
        enough.set()
        thread.join()
    assert set(outcomes) == {"ok"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_element_ends_with_its_lifetime(net: Topology, host: Host, address: str) -> None:
    """Not before, and not long after."""
    start = time.monotonic()
    host.firewall.program([element(address, timeout_ms=1000)])
    until(lambda: connect(net.host, address) == "ECONNREFUSED", 5, "the end of the element")
    # The kernel counts in jiffies, of up to 10 ms.
    assert 0.98 < time.monotonic() - start < 2
    assert host.inspect().elements == ()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_deleted_element_is_gone_and_no_other(net: Topology, host: Host, address: str) -> None:
    """Deleting what is not there, or no longer, is no error."""
    host.firewall.program([element(one, port) for one in ADDRESSES for port in (443, 5000)])
    gone = [(ip_address("198.18.9.9"), 1), (ip_address(address), 443), (ip_address("::9"), 1)]
    for _ in range(2):
        host.firewall.delete(gone)
        assert connect(net.host, address) == "ECONNREFUSED"
        assert connect(net.host, address, 5000) == "connected"
        assert len(host.inspect().elements) == 3


def test_a_ruleset_carries_its_elements_over(net: Topology, host: Host) -> None:
    """Replacing the ruleset by one with elements leaves no moment without them."""
    host.enforce(*(element(address, comment="ghcr.io") for address in ADDRESSES))
    for address in ADDRESSES:
        assert connect(net.host, address) == "connected"
        assert listed(host, address).comment == "ghcr.io"


def test_ten_thousand_elements_are_programmed(host: Host) -> None:
    """With the longest comment, which the listing shows in full."""
    text = "x" * 127
    host.firewall.program(many(5000, text))
    found = host.inspect().elements
    assert len({each.address for each in found}) == 10_000
    assert {each.comment for each in found} == {text}


def test_the_same_element_twice_is_the_later_one(host: Host) -> None:
    """A repeated address and port in one call is no reason to refuse it."""
    host.firewall.program([element("198.18.0.1", comment=text) for text in ("first", "second")])
    assert listed(host, "198.18.0.1").comment == "second"


def test_deleting_what_is_gone_takes_no_longer_than_what_is_there(host: Host) -> None:
    """One expired element failed its transaction, which was halved until it stood alone.

    After a reload that took a wildcard with thousands of addresses away, the new
    ruleset had none of them, and the deletions that followed held the daemon up for
    minutes: each transaction that fails waits for a grace period of RCU.
    """
    host.firewall.program([element("198.18.0.1")])
    start = time.monotonic()
    host.firewall.delete([(each.address, each.port) for each in many(2000)])
    assert time.monotonic() - start < 5
    assert host.inspect().elements == ()


def test_nothing_to_do_is_fine(host: Host) -> None:
    """No elements, no transaction."""
    host.firewall.program([])
    host.firewall.delete([])
    assert host.inspect().elements == ()


def test_a_full_set_takes_what_it_can(host: Host) -> None:
    """Known elements are refreshed, one more fits, the next ones are named as refused."""
    host.firewall.program(many(SET_SIZE - 1)[: SET_SIZE - 1])
    batch = many(3, "refreshed")[:3]
    news = [
        TimedElement(IPv4Address("198.20.0.1") + number, 443, 60_000, "") for number in range(3)
    ]
    six = element("2001:db8::1", comment="other family")
    with pytest.raises(DatapathError, match=r"2 of 7 elements.* 198\.20\.0\.2 port 443") as caught:
        host.firewall.program([batch[0], *news, *batch[1:], six])
    assert str(SET_SIZE) in str(caught.value.hint)
    found = {each.address: each.comment for each in host.inspect().elements}
    assert len(found) == SET_SIZE + 1
    assert {found[each.address] for each in batch} == {"refreshed"}
    assert found[six.address] == "other family"
    assert news[0].address in found
    # What is full for user space is full for the packet path, which lets pass what was
    # learned all the same: only a later connection without the mark is refused.
    assert connect(host.namespace, "198.19.255.255", mark=NONCE) == "connected"
    assert connect(host.namespace, "198.19.255.255") == "ECONNREFUSED"


def test_without_a_table_programming_is_an_error(host: Host) -> None:
    """It says what to do; deleting from what is not there is done."""
    host.remove()
    with pytest.raises(DatapathError, match="No such file") as caught:
        host.firewall.program(many(300))
    assert caught.value.hint == "apply the ruleset first"
    host.firewall.delete([(ip_address("198.18.0.1"), 443)])


def test_without_rights_every_call_is_an_error(net: Topology) -> None:
    """A transaction that is refused as a whole is answered, not waited for."""
    done = net.host.run(sys.executable, "-c", _UNPRIVILEGED, user=65534, timeout_s=10)
    assert done.stdout.splitlines() == ["run as root"] * 4


def test_elements_are_programmed_from_a_thread_beside_a_loop(net: Topology, host: Host) -> None:
    """A worker thread of another namespace changes the table of the firewall's own."""

    async def program() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1) as worker:
            for number in range(1, 50):
                address = f"198.18.1.{number}"
                work = loop.run_in_executor(worker, host.firewall.program, [element(address)])
                await asyncio.wait_for(work, 2)

    asyncio.run(program())
    assert len(host.inspect().elements) == 49
    assert connect(net.host, "198.18.1.49") == "connected"
