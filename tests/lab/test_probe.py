"""The ruleset in the kernel is tried by packets that nobody else sees."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.policy import Mode, Policy
from enforcer.core.probes import DOCUMENTATION, SOURCE_PORT, Fate, Sent
from enforcer.core.proof import FamilyProof, Outcome
from enforcer.core.ruleset import DENIED_GROUP, FULL, Capabilities
from enforcer.daemon.probe import Expected, Probe
from enforcer.edge.links import Links
from enforcer.edge.loader import load
from enforcer.edge.nflog import PacketLog
from enforcer.edge.programs import Programs
from enforcer.edge.sealed import SealedSockets
from tests.lab.guarded import NO_CT, NONCE, PAIRS, PROBE, Host, connect, element
from tests.lab.topology import Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

POLICY = Policy(
    "lab", Mode.ENFORCE, (), (), None, 60, 300, watch=False, metrics_port=None, digest=""
)
PERMITTED = tuple(ip_address(permitted) for permitted, _ in PAIRS)
EXPECTED = Expected(POLICY, (), {a.version: ((a, 443),) for a in PERMITTED})
ELEMENTS = tuple(element(str(address)) for address in PERMITTED)
ETH_P_ALL = 3
PROVED_WITHIN_S = 10


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Return the loaded programs."""
    loaded = Programs(load())
    yield loaded
    loaded.close()


Make = Callable[[], SealedSockets]


class Tries:
    """Tries the ruleset of a firewall, each time in its namespace with sockets of their own."""

    def __init__(self, net: Topology, host: Host, make: Make) -> None:
        self._net = net
        self._host = host
        self._make = make

    def of(self, expected: Expected) -> tuple[FamilyProof, ...]:
        """Return what is shown."""

        def inside() -> tuple[FamilyProof, ...]:
            links = Links()
            probe = Probe(self._make, self._host.firewall, links)
            try:
                return probe.of(expected)
            finally:
                probe.close()
                links.close()

        return self._net.host.call(inside)


@pytest.fixture
def probe(net: Topology, host: Host, programs: Programs) -> Tries:
    """Return what tries the ruleset of the test's own firewall."""
    # Only what begins is translated: an address that is drawn again must be new to the kernel.
    net.host.run("conntrack", "-F")
    return Tries(
        net,
        host,
        lambda: SealedSockets(programs.seal, programs.sealed, net.cgroup, PROBE),
    )


@contextlib.contextmanager
def seen_by_the_world(net: Topology) -> Iterator[list[bytes]]:
    """Yield the frames that came to the world's end of the wire, once the block is over."""
    frames: list[bytes] = []

    def listening() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.bind(("eth0", ETH_P_ALL))
        return sock

    with net.world.call(listening) as sock:
        yield frames
        sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(sock.recv(65536))


def outcomes(found: tuple[FamilyProof, ...]) -> list[Outcome]:
    """Return what is shown of IPv4 and of IPv6."""
    assert [each.version for each in found] == [4, 6]
    return [each.outcome for each in found]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "capabilities",
    [
        FULL,
        NO_CT,
        replace(FULL, ct_label=False),
        replace(FULL, reject=False),
        replace(FULL, log=False),
        replace(FULL, counter=False),
    ],
    ids=["full", "no-ct", "no-label", "no-reject", "no-log", "no-counter"],
)
def test_a_ruleset_of_ours_is_proved_and_nobody_notices(
    net: Topology, host: Host, probe: Tries, mode: Mode, capabilities: Capabilities
) -> None:
    """Neither the wire nor the counter, the log or the neighbours know of it."""
    host.enforce(*ELEMENTS, mode=mode, capabilities=capabilities)
    expected = replace(EXPECTED, policy=replace(POLICY, mode=mode))
    net.host.ip("neigh flush all")
    log = net.host.call(lambda: PacketLog(DENIED_GROUP))
    try:
        with seen_by_the_world(net) as frames:
            found = probe.of(expected)
        assert outcomes(found) == [Outcome.PROVED, Outcome.PROVED], found
        assert [each.accepted for each in found] == [(address, 443) for address in PERMITTED]
        for each in found:
            assert each.denied is not None
            assert any(each.denied in network for network in DOCUMENTATION[each.version])
            assert not [frame for frame in frames if each.denied.packed in frame]
        syn = SOURCE_PORT.to_bytes(2, "big") + (443).to_bytes(2, "big")
        assert not [frame for frame in frames if syn in frame]
        assert net.host.run("ip", "neigh", "show", "nud", "all", "to", "10.77.0.1").stdout == ""
        assert log.read(10) == ()
    finally:
        log.close()
    assert not host.inspect().denied


def test_without_counters_an_audit_is_no_proof_of_what_passes_round_it(
    net: Topology, host: Host, probe: Tries
) -> None:
    """What it would deny is known by its priority: it was, and a machine was never healthy."""
    capabilities = replace(FULL, counter=False)
    audit = replace(EXPECTED, policy=replace(POLICY, mode=Mode.AUDIT))
    host.enforce(*ELEMENTS, capabilities=capabilities, mode=Mode.AUDIT)
    assert outcomes(probe.of(audit)) == [Outcome.PROVED, Outcome.PROVED]
    net.host.nft("insert rule inet enforcer output accept")
    assert outcomes(probe.of(audit)) == [Outcome.FAILED, Outcome.FAILED]
    host.enforce(*ELEMENTS[:1], capabilities=capabilities, mode=Mode.AUDIT)
    found = probe.of(audit)
    assert outcomes(found) == [Outcome.PROVED, Outcome.FAILED]
    assert "denied, and the policy permits it" in found[1].why


TAMPERED = {
    "table-gone": "delete table inet enforcer",
    "chain-flushed": "flush chain inet enforcer output",
    "last-chain-flushed": "flush chain inet enforcer denied",
    "accepted-first": "insert rule inet enforcer output accept",
    "accepted-last": "insert rule inet enforcer denied accept",
    "dormant": "add table inet enforcer { flags dormant; }",
    "permitted-refused": "insert rule inet enforcer permitted tcp dport 443 drop",
    "permitted-forgotten": "flush set inet enforcer allow4\nflush set inet enforcer allow6",
    "marked-by-another": (
        "table inet lab_other\ndelete table inet lab_other\ntable inet lab_other {\n"
        "chain output {\ntype filter hook output priority filter - 20\n"
        f"meta mark set {NONCE:#x}\n}}\n}}"
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_ruleset_that_somebody_changed_is_not_proved(
    net: Topology, host: Host, probe: Tries, name: str
) -> None:
    """By the packets alone, however it was changed, and what is let through goes nowhere."""
    host.enforce(*ELEMENTS)
    assert outcomes(probe.of(EXPECTED)) == [Outcome.PROVED, Outcome.PROVED]
    try:
        net.host.nft(TAMPERED[name])
        with seen_by_the_world(net) as frames:
            found = probe.of(EXPECTED)
        assert Outcome.PROVED not in outcomes(found), found
        if name != "permitted-refused":
            assert outcomes(found) == [Outcome.FAILED, Outcome.FAILED], found
        tried = [network.network_address.packed[:3] for network in DOCUMENTATION[4]]
        assert not [frame for frame, begin in itertools.product(frames, tried) if begin in frame]
    finally:
        net.host.nft("table inet lab_other\ndelete table inet lab_other")


def test_another_firewall_is_told_apart(net: Topology, host: Host, probe: Tries) -> None:
    """Its denials prove nothing of ours; and what it denies of the permitted is said."""
    host.enforce(*ELEMENTS)
    for priority, address, words in (
        ("filter - 20", "198.51.100.0/24, 203.0.113.0/24, 192.0.2.0/24", "denies"),
        ("filter", str(PERMITTED[0]), "which is permitted"),
    ):
        net.host.nft(
            "table inet lab_other {\nchain output {\n"
            f"type filter hook output priority {priority}\n"
            f"ip daddr {{ {address} }} drop\n}}\n}}"
        )
        try:
            found = probe.of(EXPECTED)
        finally:
            net.host.nft("delete table inet lab_other")
        assert outcomes(found) == [Outcome.UNPROVED, Outcome.PROVED], found
        assert "something else than the ruleset" in found[0].why
        assert words in found[0].why


@pytest.mark.needs("ct")
def test_what_is_translated_proves_nothing(net: Topology, host: Host, probe: Tries) -> None:
    """Somebody leads all connections to a permitted address: that is said, and no failure."""
    host.enforce(*ELEMENTS)
    net.host.nft(
        "table ip lab_other {\nchain output {\ntype nat hook output priority -100\n"
        f"tcp dport 443 ip daddr != 127.0.0.0/8 dnat to {PERMITTED[0]}\n}}\n}}"
    )
    try:
        found = probe.of(EXPECTED)
    finally:
        net.host.nft("delete table ip lab_other")
    assert outcomes(found) == [Outcome.UNPROVED, Outcome.PROVED], found
    assert f"is translated to {PERMITTED[0]}" in found[0].why


def test_an_address_that_leads_inside_is_no_failure(
    net: Topology, host: Host, probe: Tries
) -> None:
    """Somebody's containers have a documentation range: another one is tried."""
    host.enforce(*ELEMENTS)
    net.host.ip("route add 198.51.100.0/24 dev br-lab")
    try:
        found = probe.of(EXPECTED)
        assert found[0].denied is not None, found
        assert found[0].denied in ip_network("203.0.113.0/24")
        assert outcomes(found) == [Outcome.PROVED, Outcome.PROVED]
        for network in DOCUMENTATION[4][1:]:
            net.host.ip(f"route add {network} dev br-lab")
        found = probe.of(EXPECTED)
        assert outcomes(found) == [Outcome.UNPROVED, Outcome.PROVED]
        assert "is behind an exempt interface" in found[0].why
    finally:
        for network in DOCUMENTATION[4]:
            net.host.run("ip", "route", "del", str(network), check=False)


@contextlib.contextmanager
def without_default_route(net: Topology) -> Iterator[None]:
    """Leave the host what is connected directly."""
    net.host.ip("route del default via 10.77.0.1", "route del default via fd77::1")
    try:
        yield
    finally:
        net.host.ip("route add default via 10.77.0.1", "route add default via fd77::1")


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_what_is_connected_directly_is_proved(
    net: Topology, host: Host, probe: Tries, mode: Mode
) -> None:
    """It was not: without a default route no machine was healthy."""
    neighbours = (ip_address("10.77.0.1"), ip_address("fd77::1"))
    host.enforce(*(element(str(each)) for each in neighbours), mode=mode)
    policy = replace(POLICY, mode=mode)
    expected = Expected(policy, (), {each.version: ((each, 443),) for each in neighbours})
    with without_default_route(net), seen_by_the_world(net) as frames:
        found = probe.of(expected)
    assert outcomes(found) == [Outcome.PROVED, Outcome.PROVED], found
    assert [each.accepted for each in found] == [(each, 443) for each in neighbours]
    denied = [each.denied for each in found]
    assert None not in denied
    assert not [each for each in denied for frame in frames if each and each.packed in frame]
    assert host.denied() == 0


def test_what_is_connected_directly_is_no_proof_of_a_broken_ruleset(
    net: Topology, host: Host, probe: Tries
) -> None:
    """It fails in both families, and what is let through goes nowhere."""
    host.enforce(*ELEMENTS)
    net.host.nft("insert rule inet enforcer output accept")
    with without_default_route(net), seen_by_the_world(net) as frames:
        found = probe.of(EXPECTED)
    assert outcomes(found) == [Outcome.FAILED, Outcome.FAILED], found
    syn = SOURCE_PORT.to_bytes(2, "big") + (443).to_bytes(2, "big")
    assert not [frame for frame in frames if syn in frame]


def test_where_no_route_leads_nothing_is_proved(net: Topology, host: Host, probe: Tries) -> None:
    """And nothing is wrong with the ruleset."""
    host.enforce(*ELEMENTS)
    net.host.ip("link set eth0 down")
    try:
        found = probe.of(EXPECTED)
    finally:
        net.host.ip(
            "link set eth0 up",
            "address add fd77::2/64 dev eth0 nodad",
            "route add default via 10.77.0.1",
            "route add default via fd77::1",
        )
    assert outcomes(found) == [Outcome.NO_ROUTE, Outcome.NO_ROUTE], found


def test_what_the_policy_permits_is_not_tried_as_denied(host: Host, probe: Tries) -> None:
    """Networks of a policy may be documentation ranges; all of them leave nothing to try."""
    networks = tuple(itertools.chain(*DOCUMENTATION.values()))
    host.enforce(*ELEMENTS, networks=networks[:1])
    some = replace(EXPECTED, policy=replace(POLICY, networks=networks[:1]))

    def proved() -> bool:  # a packet that is not seen to end says nothing: it is tried again
        return outcomes(probe.of(some)) == [Outcome.PROVED, Outcome.PROVED]

    until(proved, PROVED_WITHIN_S, "a proof with what is left")
    host.enforce(*ELEMENTS, networks=networks)
    every = replace(EXPECTED, policy=replace(POLICY, networks=networks))
    assert outcomes(probe.of(every)) == [Outcome.UNPROVED, Outcome.UNPROVED]


def test_networks_and_resolvers_are_tried_where_no_address_is_open(
    host: Host, probe: Tries
) -> None:
    """What is permitted without an answer; and nothing at all proves nothing wrong."""
    host.enforce(networks=[ip_network("198.18.5.0/24")], resolvers=[ip_address("fd77::1")])
    policy = replace(POLICY, networks=(ip_network("198.18.5.0/24"),))
    found = probe.of(Expected(policy, (ip_address("fd77::1"),), {}))
    assert outcomes(found) == [Outcome.PROVED, Outcome.PROVED]
    assert [each.accepted for each in found] == [
        (ip_address("198.18.5.1"), 443),
        (ip_address("fd77::1"), 53),
    ]
    host.enforce()
    found = probe.of(Expected(POLICY, (), {}))
    assert outcomes(found) == [Outcome.PROVED, Outcome.PROVED]
    assert [each.accepted for each in found] == [None, None]


def test_the_probe_opens_nothing(net: Topology, host: Host, probe: Tries) -> None:
    """Nor does its priority, for whoever has found it out: it only hides from the counter."""
    host.enforce(*ELEMENTS)
    probe.of(EXPECTED)
    for _, other in PAIRS:
        assert connect(net.host, other) == "ECONNREFUSED"
        assert connect(net.host, other, priority=PROBE) == "ECONNREFUSED"


class _Leaky:
    """Sockets whose program does not end what they send."""

    versions = (4, 6)

    def __init__(self) -> None:
        self.tried: list[str] = []

    def open_connection(self, address: object, port: int) -> Sent:
        """Note what would have left."""
        self.tried.append(str(address))
        return Sent(Fate.UNKNOWN, error="it is nowhere to be seen")

    def close(self) -> None:
        """Nothing to close."""


def test_what_is_not_sealed_sends_nothing_outside(net: Topology, host: Host) -> None:
    """Before Linux 5.15 a program of cgroup v1 can take sockets out of their cgroup."""
    host.enforce(*ELEMENTS)
    leaky = _Leaky()
    found = Tries(net, host, lambda: leaky).of(EXPECTED)  # type: ignore[arg-type, return-value]
    assert outcomes(found) == [Outcome.UNPROVED, Outcome.UNPROVED]
    assert leaky.tried == ["127.0.0.1", "::1"]


def test_nothing_is_left_of_the_sockets(net: Topology, programs: Programs) -> None:
    """Their cgroup is gone while they are in use, and its program goes with them."""
    before = set(net.cgroup.iterdir())
    sockets = net.host.call(
        lambda: SealedSockets(programs.seal, programs.sealed, net.cgroup, PROBE)
    )
    try:
        assert set(net.cgroup.iterdir()) == before
        assert sockets.open_connection(PERMITTED[0], 443).fate is Fate.PASSED
    finally:
        sockets.close()
