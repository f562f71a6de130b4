"""From an answer to the exact set element: host as comment, the answer's own lifetime.

The packet path bridges the time until then with an element of a minute; this is
how long the bridge has to hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import peers
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, at_most, microseconds
from bench.rounds import Series, interleaved
from bench.world import RESOLVER, ZONE, load, ran

QUICK, FULL = Scale(2, 200, 0), Scale(10, 400, 0)
RATE = 1000  # permitted answers a second, beside the ones timed
IDLE, LOADED = "idle", f"{RATE:,} answers/s"
HEAD = ("", "p50 us", "p99 us", "slowest us", "never came")
P50, P99, SLOWEST = 50.0, 99.0, 100.0
LIMIT_MS = 5.0


def measure(scale: Scale) -> Result:
    """Time elements with and without a load of answers."""
    found: dict[str, list[dict[str, Any]]] = {IDLE: [], LOADED: []}
    with peers.enforcing() as peer:
        for number, how in enumerate(interleaved(scale.rounds, tuple(found))):
            with loaded(peer, number) if how == LOADED else contextlib.nullcontext():
                found[how].append(elements(peer, scale.count, f"e{number}x"))
    rows = tuple(_row(how, runs) for how, runs in found.items())
    p99 = series(found[LOADED]).percentile(P99)
    missing = sum(run["missing"] for run in found[LOADED])
    figure = f"exact element, p99, {LOADED}"
    goals = (
        at_most(figure, "< 5 ms", ("{:.1f} ms", LIMIT_MS, p99 * 1e3)),
        Goal("elements that never came", "0", str(missing), not missing),
    )
    return Result((Table("Answer to exact element", HEAD, rows),), goals, found)


def elements(peer: Peer, count: int, label: str) -> dict[str, Any]:
    """Time the elements of *count* names asked one after the other on the host of *peer*."""
    options = (f"--label={label}", f"--count={count}", f"--lifetime={peers.LIFETIME_S}")
    return ran(peer.net.host, "elements", RESOLVER, ZONE, *options)


@contextlib.contextmanager
def loaded(peer: Peer, number: int) -> Iterator[None]:
    """Have the host of *peer* ask RATE permitted names a second until the block ends."""
    with load(peer.net.host, f"--label=l{number}x", f"--rate={RATE}"):
        yield


def series(runs: Sequence[Mapping[str, Any]]) -> Series:
    """Return the times of the elements."""
    return Series(tuple(tuple(run["delays_s"]) for run in runs))


def _row(how: str, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    figures = (microseconds(series(runs).percentile(p)) for p in (P50, P99, SLOWEST))
    return (how, *figures, str(sum(run["missing"] for run in runs)))
