"""How many DNS answers of other names a second until a permitted one is missed.

The answers come in by the uplink, from the resolver's own address, faster step by
step, while the host asks permitted names and connects. The same against a machine
without a firewall tells what the network itself loses.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import connect, peers
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, microseconds
from bench.world import RESOLVER, in_the_world, started
from tests.lab.topology import UPLINK

QUICK, FULL = Scale(1, 300, 0), Scale(3, 1000, 0)
CEILING = 0  # as many as the generator can
RATES = (10_000, 50_000, 100_000, 150_000, 200_000, CEILING)
VARIANTS = (peers.OPEN, peers.ENFORCER)
TARGET, PORT = "10.77.0.2", 40000
HEAD = ("", "answers/s", "p50 us", "p99 us", "missed", "SYN+")
REACH = 100_000
P50, P99 = 50.0, 99.0


@dataclass(frozen=True)
class Step:
    """What came of permitted names during one step of the flood.

    Attributes:
        rate: answers a second that the host's interface received.
    """

    rate: float
    made: connect.Round


def measure(scale: Scale) -> Result:
    """Flood both variants in turn, step by step."""
    found: dict[tuple[int, str], list[Step]] = {}
    serial = itertools.count()
    with peers.side_by_side(*VARIANTS) as every:
        for peer in every:
            # Datagrams sent in one bundle are taken apart before they leave.
            peer.net.world.ip(f"link set dev {UPLINK} gso_max_segs 1")
        for _ in range(scale.rounds):
            for rate, peer in itertools.product(RATES, every):
                one = step(peer, rate, scale.count, f"f{next(serial)}x")
                found.setdefault((rate, peer.name), []).append(one)
    rows = tuple(_row(rate, name, steps) for (rate, name), steps in found.items())
    raw = {f"{rate} {name}": [asdict(s) for s in steps] for (rate, name), steps in found.items()}
    title = "Permitted names asked on the host while answers of other names flood in"
    return Result((Table(title, HEAD, rows),), (_goal(found),), raw)


def step(peer: Peer, rate: int, count: int, label: str) -> Step:
    """Ask *count* permitted names while *rate* answers a second come in."""
    flood = ("flooder", RESOLVER, TARGET, f"--port={PORT}", f"--rate={rate}")
    with _discarding(peer), contextlib.ExitStack() as stack:
        with in_the_world():
            stack.enter_context(started(peer.net.world, *flood))
        before, start = _received(peer), time.monotonic()
        made = connect.connections(peer, "host", 4, count, label)
        elapsed_s = time.monotonic() - start
        return Step((_received(peer) - before) / elapsed_s, made)


@contextlib.contextmanager
def _discarding(peer: Peer) -> Iterator[None]:
    """Have a socket that nobody reads take what floods in: the host need not object to it."""

    def bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((TARGET, PORT))
        return sock

    with peer.net.host.call(bound):
        yield


def _received(peer: Peer) -> int:
    text = peer.net.host.call(Path("/proc/thread-self/net/dev").read_text)
    lines = {name.strip(): rest for name, _, rest in (s.partition(":") for s in text.splitlines())}
    return int(lines[UPLINK].split()[1])


_Found = Mapping[tuple[int, str], Sequence[Step]]


def _missed(steps: Sequence[Step]) -> int:
    return sum(each.made.failed for each in steps)


def _row(rate: int, name: str, steps: Sequence[Step]) -> tuple[str, ...]:
    times = connect.series([each.made for each in steps])
    wanted = f"{rate:,}/s" if rate else "all it can"
    return (
        f"{wanted}, {name}",
        f"{min(each.rate for each in steps):,.0f}",
        microseconds(times.percentile(P50)),
        microseconds(times.percentile(P99)),
        str(_missed(steps)),
        str(sum(each.made.repeated for each in steps)),
    )


def _goal(found: _Found) -> Goal:
    """Return the largest rate up to which nothing was missed, and the generator's own."""
    best = 0.0
    for rate in RATES:
        steps = found[rate, peers.ENFORCER]
        if _missed(steps):
            break
        best = min(each.rate for each in steps)
    limit = max(each.rate for steps in found.values() for each in steps)
    measured = f"{best:,.0f} of {limit:,.0f}"
    return Goal("foreign answers/s, none missed", f">= {REACH:,}", measured, best >= REACH)
