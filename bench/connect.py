"""From query to connected, to addresses never seen before: host, container, both families.

What a user of the machine notices of a firewall that goes by names.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import peers
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, at_most, microseconds, ratio
from bench.rounds import Series, interleaved
from bench.world import ZONE, on_the_machine
from tests.lab.client import Connections, connect_to_answers
from tests.lab.namespace import Namespace

QUICK, FULL = Scale(4, 250, 0), Scale(20, 500, 0)
VARIANTS = (peers.OPEN, peers.ENFORCER, peers.NO_INLINE, peers.NFTSET, peers.PROXY)
PLACES = ("host", "container")
FAMILIES = (4, 6)
P50, P99 = 50.0, 99.0
HEAD = ("", "p50 us", "p99 us", "p50 / none", "p99 / none", "lost", "SYN+")


@dataclass(frozen=True)
class Round:
    """One variant's part of one round.

    Attributes:
        repeated: SYNs sent again, as the kernel of the client counts them.
    """

    made: Connections
    repeated: int

    @property
    def failed(self) -> int:
        """How many names were not reached at once."""
        return self.made.refused + self.made.late + self.made.lost + self.made.unanswered


def measure(scale: Scale) -> Result:
    """Compare the variants."""
    found: dict[tuple[str, int, str], list[Round]] = {}
    serial = itertools.count()
    with peers.side_by_side(*VARIANTS) as every:
        for place, family in itertools.product(PLACES, FAMILIES):
            for peer in interleaved(scale.rounds, every):
                one = connections(peer, place, family, scale.count, f"r{next(serial)}x")
                found.setdefault((place, family, peer.name), []).append(one)
    tables = tuple(_table(place, family, found) for place in PLACES for family in FAMILIES)
    raw = {
        f"{place} IPv{family} {name}": [asdict(each) for each in rounds]
        for (place, family, name), rounds in found.items()
    }
    return Result(tables, tuple(_goals(found)), raw)


def connections(peer: Peer, place: str, family: int, count: int, label: str) -> Round:
    """Connect to *count* fresh addresses from *place* of *peer*."""
    namespace: Namespace = getattr(peer.net, place)
    before = repeated_syns(namespace)
    with on_the_machine():
        made = connect_to_answers(namespace, ZONE, family=family, count=count, label=label)
    return Round(made, repeated_syns(namespace) - before)


def repeated_syns(namespace: Namespace) -> int:
    """Return how many SYNs were sent again in *namespace* since it was made."""
    text = namespace.call(Path("/proc/thread-self/net/netstat").read_text)
    names, values = (line.split() for line in text.splitlines() if line.startswith("TcpExt:"))
    return int(values[names.index("TCPSynRetrans")])


def series(rounds: Sequence[Round]) -> Series:
    """Return the times from query to connection, of rounds in which most were made.

    The few that slip through a firewall which loses the others say nothing of its speed.
    """
    return Series(tuple(e.made.total_s if len(e.made.total_s) > e.failed else () for e in rounds))


_Found = Mapping[tuple[str, int, str], Sequence[Round]]


def _table(place: str, family: int, found: _Found) -> Table:
    base = series(found[place, family, peers.OPEN])
    rows = []
    count = 0
    for name in VARIANTS:
        rounds = found[place, family, name]
        mine = series(rounds)
        count = sum(each.failed + each.made.ok for each in rounds)
        rows.append(
            (
                name,
                microseconds(mine.percentile(P50)),
                microseconds(mine.percentile(P99)),
                ratio(mine.over(base, P50)),
                ratio(mine.over(base, P99)),
                str(sum(each.failed for each in rounds)),
                str(sum(each.repeated for each in rounds)),
            )
        )
    title = f"Query to connected, {place}, IPv{family}: {count:,} names a variant"
    return Table(title, HEAD, tuple(rows))


def _goals(found: _Found) -> list[Goal]:
    goals = []
    for place in PLACES:
        mine = [each for f in FAMILIES for each in found[place, f, peers.ENFORCER]]
        base = series([each for f in FAMILIES for each in found[place, f, peers.OPEN]])
        rival = series([each for f in FAMILIES for each in found[place, f, peers.NFTSET]])
        failed = sum(each.failed + each.repeated for each in mine)
        names = sum(each.failed + each.made.ok for each in mine)
        goals += [
            at_most(f"lost or repeated of {names:,}, {place}", "0", ("{:.0f}", 0, failed)),
            at_most(
                f"query to connected, p50, {place}",
                "<= 1.10",
                ("{:.2f}", 1.10, series(mine).over(base, P50).median),
            ),
            at_most(
                f"query to connected, p99, {place}",
                "<= 1.25",
                ("{:.2f}", 1.25, series(mine).over(base, P99).median),
            ),
            at_most(
                f"over dnsmasq nftset, p50, {place}",
                "<= 0.50",
                ("{:.2f}", 0.5, series(mine).over(rival, P50).median),
            ),
        ]
    return goals
