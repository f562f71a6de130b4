"""What the BPF programs cost a packet: by the kernel's statistics, and run by themselves.

The statistics time real traffic, and reading the clock is in each figure: what they say
of an empty program on the same hook, for the same packets, is subtracted. connect_mark
has nothing beside it: from its figure goes what an empty program is said to take by
itself. BPF_PROG_TEST_RUN runs a program on one
packet again and again, with warm caches. The truth of a busy machine lies between.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from bench import kernel, peers, throughput
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, at_most
from bench.rounds import Spread, interleaved, spread
from bench.world import RESOLVER, ZONE
from bench.world import ran as run_inside
from enforcer.edge.filters import EGRESS, INGRESS
from tests.bpf.run import ip, udp
from tests.lab.client import connect_to_answers, query
from tests.lab.counting import Passing
from tests.lab.topology import BRIDGE, UPLINK

QUICK, FULL = Scale(2, 300, 1), Scale(9, 1000, 1)
NOT_DNS, OTHER, PERMITTED, FORWARDED = (
    "not DNS",
    "DNS, another name",
    "permitted, host",
    "permitted, container",
)
HEAD = ("", "runs", "ns a run", "empty ns", "by itself ns")
EMPTY = "empty"
_HOOKS = {
    "dns_query": (UPLINK, EGRESS),
    "dns_answer": (UPLINK, INGRESS),
    "forward_mark": (BRIDGE, INGRESS),
}
# Fewer runs than this in a round are those of somebody else's traffic.
RUNS_MIN = 100
REPEAT = 100_000
ELSEWHERE = "elsewhere.invalid"
CLIENT, TCP = "10.77.0.2", 6
LIMITS = {NOT_DNS: 60.0, PERMITTED: 3000.0}


@dataclass(frozen=True)
class Times:
    """What a program took in one round.

    Attributes:
        net_ns: of a run, less `empty_ns`.
        empty_ns: of a run of an empty program.
    """

    net_ns: float
    empty_ns: float
    runs: int


def measure(scale: Scale) -> Result:
    """Time every program of a daemon under four kinds of traffic."""
    found: dict[tuple[str, str], list[Times]] = {}
    serial = itertools.count()
    with peers.enforcing() as peer, throughput.server(peer), beside(peer) as empty_ones:
        assert peer.enforcer is not None
        pid = peer.enforcer.process.pid
        with kernel.statistics():
            alone_ns = kernel.empty_ns(REPEAT)
            for kind in interleaved(scale.rounds, tuple(_TRAFFIC)):
                before = kernel.programs(pid) | kernel.programs(os.getpid())
                _TRAFFIC[kind](peer, scale, f"b{next(serial)}x")
                after = kernel.programs(pid) | kernel.programs(os.getpid())
                ran = {
                    number: now.since(before[number])
                    for number, now in after.items()
                    if number in before
                }
                for each in ran.values():
                    if each.name != EMPTY and each.runs >= RUNS_MIN:
                        empty = ran.get(empty_ones.get(each.name, 0))
                        empty_ns = alone_ns if empty is None else empty.mean_ns
                        times = Times(each.mean_ns - empty_ns, empty_ns, each.runs)
                        found.setdefault((kind, each.name), []).append(times)
        ids = {each.name: each.id for each in kernel.programs(pid).values()}
        alone = by_themselves(ids, scale)
    raw = {
        "statistics": {" / ".join(key): list(map(asdict, times)) for key, times in found.items()},
        "by themselves": {" / ".join(key): ns for key, ns in alone.items()},
    }
    return Result((_table(found, alone),), tuple(_goals(found)), raw)


@contextlib.contextmanager
def beside(peer: Peer) -> Iterator[dict[str, int]]:
    """Put an empty program after each of the daemon's; return their ids by its names."""
    with ExitStack() as stack:
        ids = {}
        for name, (interface, parent) in _HOOKS.items():
            empty = Passing(EMPTY)
            stack.callback(empty.close)
            empty.attach(peer.net.host, interface, parent, f"{EMPTY}/{name}")
            ids[name] = empty.id
        yield ids


def by_themselves(ids: Mapping[str, int], scale: Scale) -> dict[tuple[str, str], float]:
    """Run dns_query and dns_answer on packets of each kind, without statistics."""
    asked, answered = udp_pair(f"www.{ELSEWHERE}", 7)
    segment = ip(CLIENT, RESOLVER, TCP, bytes(1400))
    found = {}
    for kind, packets in {NOT_DNS: (segment, segment), OTHER: (asked, answered)}.items():
        for name, packet in zip(("dns_query", "dns_answer"), packets, strict=True):
            found[kind, name] = float(kernel.run_ns(ids[name], packet, REPEAT))
    # An answer uses up its query: one of each, many times over.
    times: dict[str, list[int]] = {"dns_query": [], "dns_answer": []}
    for number in range(scale.count):
        pair = udp_pair(f"alone{number}.{ZONE}", number)
        for name, packet in zip(times, pair, strict=True):
            times[name].append(kernel.run_ns(ids[name], packet, 1))
    return found | {(PERMITTED, name): statistics.median(ns) for name, ns in times.items()}


def udp_pair(name: str, number: int) -> tuple[bytes, bytes]:
    """Return a query for *name* and its answer, one address, as Ethernet frames."""
    asked = query(number & 0xFFFF, name, 1)
    record = b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4" + bytes(
        (198, 18, 64 + number // 256 % 64, number % 256)
    )
    answer = asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + record
    return udp(CLIENT, 40000, RESOLVER, 53, asked), udp(RESOLVER, 53, CLIENT, 40000, answer)


def _not_dns(peer: Peer, scale: Scale, _label: str) -> None:
    throughput.bits_per_second(peer, "host", 1, scale.seconds)


def _other(peer: Peer, scale: Scale, label: str) -> None:
    run_inside(
        peer.net.host, "asker", RESOLVER, ELSEWHERE, f"--label={label}", f"--count={scale.count}"
    )


def _permitted(peer: Peer, scale: Scale, label: str) -> None:
    connect_to_answers(peer.net.host, ZONE, family=4, count=scale.count, label=label)


def _forwarded(peer: Peer, scale: Scale, label: str) -> None:
    connect_to_answers(peer.net.container, ZONE, family=4, count=scale.count, label=label)


_TRAFFIC: Mapping[str, Callable[[Peer, Scale, str], None]] = {
    NOT_DNS: _not_dns,
    OTHER: _other,
    PERMITTED: _permitted,
    FORWARDED: _forwarded,
}

_Found = Mapping[tuple[str, str], Sequence[Times]]


def _net_ns(rounds: Sequence[Times]) -> Spread:
    return spread([each.net_ns for each in rounds])


def _table(found: _Found, alone: Mapping[tuple[str, str], float]) -> Table:
    rows = []
    for (kind, name), rounds in sorted(found.items()):
        ns = _net_ns(rounds)
        rows.append(
            (
                f"{kind}, {name}",
                f"{sum(each.runs for each in rounds):,}",
                f"{ns.median:,.0f} ({ns.low:,.0f}..{ns.high:,.0f})",
                f"{statistics.median(each.empty_ns for each in rounds):,.0f}",
                f"{alone[kind, name]:,.0f}" if (kind, name) in alone else "",
            )
        )
    title = "BPF time a packet, less what an empty program takes at the same place"
    return Table(title, HEAD, tuple(rows))


def _goals(found: _Found) -> list[Goal]:
    goals = []
    for kind, limit in LIMITS.items():
        for name in ("dns_query", "dns_answer"):
            net_ns = _net_ns(found[kind, name]).median
            goals.append(
                at_most(f"{name}, {kind}", f"<= {limit:,.0f} ns", ("{:,.0f} ns", limit, net_ns))
            )
    return goals
