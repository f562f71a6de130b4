"""Permitted names on the host while a container is denied thousands of times a second.

What its datagrams cost the machine by themselves shows without a firewall, where they go through.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from bench import connect, peers
from bench.connect import Round
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, at_most, microseconds, ratio
from bench.rounds import interleaved
from bench.world import in_the_world, started
from tests.lab.topology import UPLINK

QUICK, FULL = Scale(4, 250, 0), Scale(20, 500, 0)
VARIANTS = (peers.OPEN, peers.ENFORCER)
RATE = 10_000
# Never answered by a resolver of the lab.
SOURCE, TARGET, PORT = "172.30.0.2", "198.18.16.1", 443
QUIET, DENIED = "quiet", f"{RATE:,} denied/s"
HEAD = ("", "p50 us", "p99 us", "p50 / none", "p99 / none", "missed")
P50, P99 = 50.0, 99.0
LIMIT = 2.0

_Found = Mapping[tuple[str, str], Sequence[Round]]


def measure(scale: Scale) -> Result:
    """Compare both variants, each with and without the datagrams."""
    found: dict[tuple[str, str], list[Round]] = {}
    serial = itertools.count()
    with peers.side_by_side(*VARIANTS) as every:
        for peer in every:
            # Datagrams sent in one bundle are taken apart before they leave.
            peer.net.container.ip(f"link set dev {UPLINK} gso_max_segs 1")
        for peer in interleaved(scale.rounds, every):
            for state in (QUIET, DENIED):
                with _sending(peer) if state == DENIED else contextlib.nullcontext():
                    made = connect.connections(peer, "host", 4, scale.count, f"d{next(serial)}x")
                found.setdefault((peer.name, state), []).append(made)
    raw = {
        f"{name} {state}": [asdict(r) for r in rounds] for (name, state), rounds in found.items()
    }
    return Result((_table(found),), tuple(_goals(found)), raw)


@contextlib.contextmanager
def _sending(peer: Peer) -> Iterator[None]:
    arguments = (SOURCE, TARGET, "--source-port=40001", f"--port={PORT}", f"--rate={RATE}")
    with contextlib.ExitStack() as stack:
        with in_the_world():
            stack.enter_context(started(peer.net.container, "flooder", *arguments))
        yield


def _table(found: _Found) -> Table:
    rows = []
    for (name, state), rounds in found.items():
        mine, base = connect.series(rounds), connect.series(found[peers.OPEN, state])
        rows.append(
            (
                f"{name}, {state}",
                microseconds(mine.percentile(P50)),
                microseconds(mine.percentile(P99)),
                ratio(mine.over(base, P50)),
                ratio(mine.over(base, P99)),
                str(sum(each.failed for each in rounds)),
            )
        )
    return Table("Permitted names on the host beside denials of a container", HEAD, tuple(rows))


def _goals(found: _Found) -> Iterator[Goal]:
    mine, base = (connect.series(found[name, DENIED]) for name in (peers.ENFORCER, peers.OPEN))
    yield at_most(
        f"permitted names beside {RATE:,} denials/s, p50 / none",
        f"<= {LIMIT:.1f}",
        ("{:.2f}", LIMIT, mine.over(base, P50).median),
    )
    missed = sum(each.failed for each in found[peers.ENFORCER, DENIED])
    yield at_most("and missed", "0", ("{:.0f}", 0, missed))
