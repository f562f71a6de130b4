"""What is slower with 65,536 learned addresses than with one.

Three machines side by side, alike but for how much they have learned; the figures
are over the one that has learned the least.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence

from bench import answers, connect, denied, peers, throughput
from bench.inside.responder import MANY
from bench.peers import Peer
from bench.results import Result, Scale, Table, microseconds
from bench.rounds import Series, interleaved
from bench.world import RESOLVER, ZONE, ran
from enforcer.abi import MAX_LEARNED
from enforcer.edge.client import request
from tests.lab.wait import until

QUICK, FULL = Scale(2, 100, 1.0), Scale(7, 300, 1.0)
SIZES = (1, 1_024, MAX_LEARNED)
HEAD = ("", *(f"{size:,}" for size in SIZES), f"{SIZES[1]:,} / 1", f"{MAX_LEARNED:,} / 1")
P50, P99 = 50.0, 99.0
FILL_TIMEOUT_S = 120
GIGABIT = 1e9


def measure(scale: Scale) -> Result:
    """Compare machines that differ in what they have learned."""
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    serial = itertools.count()
    # What the figures below learn on top, so that the largest ends full.
    own = scale.rounds * (2 * scale.count + 1) + MANY
    with contextlib.ExitStack() as stack:
        machines: dict[int, Peer] = {}
        for size in SIZES:
            peer = machines[size] = stack.enter_context(peers.enforcing())
            stack.enter_context(throughput.server(peer))
            fill(peer, min(size, MAX_LEARNED - own))
        for what, size in itertools.product(_FIGURES, SIZES):
            found[what, size] = []
        for what in _FIGURES:
            for size in interleaved(scale.rounds, SIZES):
                label = f"s{next(serial)}x"
                found[what, size].append(_FIGURES[what](machines[size], scale, label))
    rows = tuple(_row(what, percent, found) for what in _FIGURES for percent in (P50, P99))
    raw = {f"{what}, {size} learned": rounds for (what, size), rounds in found.items()}
    return Result((Table("Learned addresses (microseconds)", HEAD, rows),), (), raw)


def fill(peer: Peer, entries: int) -> None:
    """Have the host of *peer* learn about *entries* (address, port), by asking."""
    count = max(1, entries // MANY) if entries > 1 else 0
    if count == 0:
        ran(peer.net.host, "asker", RESOLVER, ZONE, "--count=1")
        return
    # No faster than the daemon takes events: what a ring loses has no element.
    ran(peer.net.host, "asker", RESOLVER, ZONE, "--label=many", f"--count={count}", "--rate=20")
    until(lambda: _open(peer) >= count * MANY, FILL_TIMEOUT_S, "the sets to be filled")


def _open(peer: Peer) -> int:
    assert peer.enforcer is not None
    return int(request("GET", peer.enforcer.runtime_dir / "control.sock", "/status")["addresses"])


def _connected(peer: Peer, scale: Scale, label: str) -> tuple[float, ...]:
    return connect.connections(peer, "host", 4, scale.count, label).made.total_s


def _denied(peer: Peer, scale: Scale, _label: str) -> tuple[float, ...]:
    return tuple(denied.refusals(peer, "host", 4, scale.count)["elapsed_s"])


def _written(peer: Peer, scale: Scale, label: str) -> tuple[float, ...]:
    return tuple(answers.elements(peer, scale.count, label)["delays_s"])


def _moved(peer: Peer, scale: Scale, _label: str) -> tuple[float, ...]:
    return (GIGABIT / throughput.bits_per_second(peer, "host", 1, scale.seconds),)


def _status(peer: Peer, _scale: Scale, _label: str) -> tuple[float, ...]:
    start = time.perf_counter()
    _open(peer)
    return (time.perf_counter() - start,)


_FIGURES: Mapping[str, Callable[[Peer, Scale, str], tuple[float, ...]]] = {
    "query to connected": _connected,
    "denied connect()": _denied,
    "answer to exact element": _written,
    "a gigabit moved": _moved,
    "status": _status,
}

_Found = Mapping[tuple[str, int], Sequence[tuple[float, ...]]]


def _row(what: str, percent: float, found: _Found) -> tuple[str, ...]:
    least, *others = (Series(tuple(found[what, size])) for size in SIZES)
    return (
        f"{what}, p{percent:.0f}",
        *(microseconds(each.percentile(percent)) for each in (least, *others)),
        *(f"{each.over(least, percent).median:.2f}" for each in others),
    )
