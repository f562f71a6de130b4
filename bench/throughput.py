"""What iperf3 moves through the firewall on a permitted address."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence

from bench import peers
from bench.peers import Peer
from bench.results import Goal, Result, Scale, Table, ratio
from bench.rounds import Series, interleaved
from bench.world import IPERF_PORT, IPERF_ZONE, in_the_world, on_the_machine
from tests.lab.namespace import Namespace
from tests.lab.wait import until

QUICK, FULL = Scale(2, 0, 1.0), Scale(16, 0, 1.0)
VARIANTS = (peers.OPEN, peers.ENFORCER)
PLACES = ("host", "container")
STREAMS = (1, 8)
HEAD = ("", "Gbit/s", "over no firewall")
MIDDLE = 50.0
REACH = 0.98
_SERVER_TIMEOUT_S = 10
# iperf3 says what it moved as it ends.
_SPARE_S = 20


def measure(scale: Scale) -> Result:
    """Compare the variants."""
    found: dict[tuple[str, int, str], list[tuple[float]]] = {}
    with contextlib.ExitStack() as stack:
        every = stack.enter_context(peers.side_by_side(*VARIANTS))
        for peer in every:
            stack.enter_context(server(peer))
        for place, streams in itertools.product(PLACES, STREAMS):
            for peer in interleaved(scale.rounds, every):
                bits = bits_per_second(peer, place, streams, scale.seconds)
                found.setdefault((place, streams, peer.name), []).append((bits,))
    raw = {f"{place} {n} streams {name}": runs for (place, n, name), runs in found.items()}
    return Result((_table(found),), tuple(_goals(found)), raw)


@contextlib.contextmanager
def server(peer: Peer) -> Iterator[None]:
    """Run iperf3's server in the world of *peer*."""
    with in_the_world():
        process = peer.net.world.popen("iperf3", "--server", "--port", str(IPERF_PORT))
    with process:
        try:
            until(lambda: _listens(peer.net.world), _SERVER_TIMEOUT_S, "iperf3")
            yield
        finally:
            process.kill()


def bits_per_second(peer: Peer, place: str, streams: int, seconds: float) -> float:
    """Return what *streams* connections from *place* move together, to a permitted address.

    0.0 where the connection was refused.
    """
    namespace: Namespace = getattr(peer.net, place)
    # Without pacing: BBR would measure the timers of this machine.
    arguments = (
        f"--time={seconds:.0f}",
        f"--parallel={streams}",
        f"--port={IPERF_PORT}",
        "--congestion=cubic",
        "--json",
    )
    target = permitted_address(namespace)
    with on_the_machine():
        done = namespace.run(
            "iperf3", f"--client={target}", *arguments, check=False, timeout_s=seconds + _SPARE_S
        )
    report = json.loads(done.stdout)
    if "error" in report:
        return 0.0
    return float(report["end"]["sum_received"]["bits_per_second"])


def permitted_address(namespace: Namespace) -> str:
    """Return an address that the resolver just gave to *namespace* for a permitted name."""
    shown = namespace.run("getent", "ahostsv4", f"server.{IPERF_ZONE}").stdout
    return shown.split()[0]


def _listens(namespace: Namespace) -> bool:
    shown = namespace.run("ss", "--no-header", "-ltn", f"sport = :{IPERF_PORT}").stdout
    return bool(shown.strip())


_Found = Mapping[tuple[str, int, str], Sequence[tuple[float]]]


def _over(found: _Found, place: str, streams: int, name: str) -> tuple[Series, Series]:
    mine, base = (
        Series(tuple(runs if runs[0] else () for runs in found[place, streams, n]))
        for n in (name, peers.OPEN)
    )
    return mine, base


def _table(found: _Found) -> Table:
    rows = []
    for place, streams, name in found:
        mine, base = _over(found, place, streams, name)
        over = ratio(mine.over(base, MIDDLE))
        rows.append(
            (f"{place}, {streams} streams, {name}", f"{mine.percentile(MIDDLE) / 1e9:.1f}", over)
        )
    return Table("Throughput of TCP, a permitted address", HEAD, tuple(sorted(rows)))


def _goals(found: _Found) -> Iterator[Goal]:
    for place in PLACES:
        over = []
        for streams in STREAMS:
            mine, base = _over(found, place, streams, peers.ENFORCER)
            over.append(mine.over(base, MIDDLE).median)
        measured = " / ".join(f"{value:.2f}" for value in over)
        met = None if any(map(math.isnan, over)) else min(over) >= REACH
        yield Goal(f"throughput, 1 / 8 streams, {place}", f">= {REACH}", measured, met)
