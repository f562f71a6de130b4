"""How long a denied connect() takes until its caller knows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import peers
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, at_most, microseconds, ratio
from bench.rounds import Series, interleaved
from bench.world import ran

QUICK, FULL = Scale(3, 300, 0), Scale(20, 500, 0)
PLACES = ("host", "container")
# Never answered by a resolver of the lab.
DENIED = {4: "198.18.16.1", 6: "2001:db8::1:1"}
HEAD = ("", "p50 us", "p99 us", "p99 / none", "outcomes")
P50, P99 = 50.0, 99.0
CLOSED_PORT = 444  # where nothing listens: without a firewall the world refuses, as far away
OPEN, ENFORCER, NFTSET = peers.OPEN, peers.ENFORCER, peers.NFTSET
LIMIT_US = 1000.0


def measure(scale: Scale) -> Result:
    """Compare a refusal by the firewall with one by the server."""
    found: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    with peers.side_by_side(peers.OPEN, ENFORCER, NFTSET) as every:
        for place, family in itertools.product(PLACES, DENIED):
            for peer in interleaved(scale.rounds, every):
                one = refusals(peer, place, family, scale.count)
                found.setdefault((place, family, peer.name), []).append(one)
    raw = {f"{place} IPv{family} {name}": runs for (place, family, name), runs in found.items()}
    return Result((_table(found),), tuple(_goals(found)), raw)


def refusals(peer: Peer, place: str, family: int, count: int) -> dict[str, Any]:
    """Connect to *count* addresses that nobody asked for, from *place* of *peer*."""
    namespace = getattr(peer.net, place)
    return ran(namespace, "connects", DENIED[family], f"--count={count}", f"--port={CLOSED_PORT}")


def series(runs: Sequence[Mapping[str, Any]]) -> Series:
    """Return the times of the attempts."""
    return Series(tuple(tuple(run["elapsed_s"]) for run in runs))


_Found = Mapping[tuple[str, int, str], Sequence[Mapping[str, Any]]]


def _table(found: _Found) -> Table:
    rows = []
    for (place, family, name), runs in found.items():
        mine, base = series(runs), series(found[place, family, OPEN])
        outcomes: Counter[str] = sum((Counter(run["outcomes"]) for run in runs), Counter())
        rows.append(
            (
                f"{place} v{family}, {name}",
                microseconds(mine.percentile(P50)),
                microseconds(mine.percentile(P99)),
                ratio(mine.over(base, P99)),
                " ".join(outcomes),
            )
        )
    return Table("Denied connect(); without a firewall to a closed port", HEAD, tuple(rows))


def _goals(found: _Found) -> Iterator[Goal]:
    for place in PLACES:
        p99 = max(series(found[place, family, ENFORCER]).percentile(P99) for family in DENIED)
        yield at_most(
            f"denied connect(), p99, {place}", "< 1 ms", ("{:,.0f} us", LIMIT_US, p99 * 1e6)
        )
