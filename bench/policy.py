"""What a policy of 10, 1,000 and 100,000 hosts costs: load, start, reload, memory.

Two in three hosts are names that the daemon looks up itself; they share 1,024
addresses of each family, as names behind CDNs do.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench import kernel
from bench.results import Goal, Result, Scale, Table, at_most
from bench.rounds import interleaved, spread
from bench.world import world
from enforcer.core.grants import Grants
from enforcer.core.policy import parse_policy
from enforcer.edge.client import request
from tests.lab.daemon import Enforcer
from tests.lab.topology import Topology

QUICK, FULL = Scale(1, 0, 0), Scale(3, 0, 0)
SIZES = (10, 1_000, 100_000)
FEW, MANY = SIZES[0], SIZES[-1]
HEAD = ("hosts", "load s", "start s", "reload s", "again s", "stop s", "RSS MB", "maps MB")
MB = 1_000_000
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Cost:
    """What one policy cost once.

    Attributes:
        load_s: user space alone, parse and build what the kernel matches.
        start_s: from the process's start to READY.
        reload_s: of a policy with one host more.
        unchanged_s: of a reload of the same file.
        stop_s: from SIGINT to the end of the process, STOP_TIMEOUT_S at most.
        resident: bytes of the daemon after all that.
        maps: bytes of kernel memory of its maps.
    """

    load_s: float
    start_s: float
    reload_s: float
    unchanged_s: float
    stop_s: float
    resident: int
    maps: int


def measure(scale: Scale) -> Result:
    """Start a daemon for each size, in turn."""
    found: dict[int, list[Cost]] = {size: [] for size in SIZES}
    with world() as net:
        for size in interleaved(scale.rounds, SIZES):
            found[size].append(cost(net, size))
    rows = tuple(_row(size, costs) for size, costs in found.items())
    raw = {str(size): [asdict(each) for each in costs] for size, costs in found.items()}
    table = Table("Policies (medians; MB are 1,000,000 bytes)", HEAD, rows)
    return Result((table,), tuple(_goals(found)), raw)


def cost(net: Topology, size: int) -> Cost:
    """Run a daemon with *size* hosts and reload it."""
    text = policy_text(size)
    start = time.perf_counter()
    Grants(parse_policy(text, "bench.yaml").hosts)
    load_s = time.perf_counter() - start
    daemon = Enforcer(net, text, f"policy{size}")
    start = time.perf_counter()
    daemon.start()
    start_s = time.perf_counter() - start
    try:
        daemon.policy_file.write_text(policy_text(size + 1))
        reload_s = reload(daemon)
        unchanged_s = reload(daemon)
        pid = daemon.process.pid
        memory = kernel.resident_bytes(pid), kernel.map_bytes(pid)
        start = time.perf_counter()
        daemon.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(STOP_TIMEOUT_S)
        stop_s = time.perf_counter() - start
        return Cost(load_s, start_s, reload_s, unchanged_s, stop_s, *memory)
    finally:
        daemon.kill()


def reload(daemon: Enforcer) -> float:
    """Reload and return the seconds it took until the new policy was in force."""
    start = time.perf_counter()
    request("POST", daemon.runtime_dir / "control.sock", "/reload")
    return time.perf_counter() - start


def entry(n: int) -> str:
    """Return the *n*-th host: in turn plain, with a port, and a private wildcard."""
    return (
        f"  - registry{n}.example.com",
        f"  - registry{n}.example.net:5000",
        f'  - {{host: "*.region{n}.example.org", ports: [443, 8443], private: true}}',
    )[n % 3]


def policy_text(hosts: int) -> str:
    """Return a policy of *hosts* different hosts."""
    head = ("version: 1", "organization: bench", "mode: enforce", "hosts:")
    return "\n".join((*head, *map(entry, range(hosts)), ""))


def _median(costs: Sequence[Cost], name: str) -> float:
    return spread([getattr(each, name) for each in costs]).median


def _row(size: int, costs: Sequence[Cost]) -> tuple[str, ...]:
    times = ("load_s", "start_s", "reload_s", "unchanged_s", "stop_s")
    return (
        f"{size:,}",
        *(f"{_median(costs, name):.2f}" for name in times),
        *(f"{_median(costs, name) / MB:.1f}" for name in ("resident", "maps")),
    )


def _goals(found: Mapping[int, Sequence[Cost]]) -> Iterator[Goal]:
    few, many = found[FEW], found[MANY]
    added = sum(_median(many, n) - _median(few, n) for n in ("resident", "maps"))
    for figure, reach, form, limit, value in (
        (f"{MANY:,} hosts: load", "< 3 s", "{:.1f} s", 3, _median(many, "load_s")),
        (f"{MANY:,} hosts: reload", "< 1 s", "{:.2f} s", 1, _median(many, "reload_s")),
        (f"{MANY:,} hosts: added memory", "< 60 MB", "{:.0f} MB", 60, added / MB),
        (f"{FEW} hosts: resident", "< 64 MB", "{:.0f} MB", 64, _median(few, "resident") / MB),
        (f"{FEW} hosts: start", "< 1 s", "{:.2f} s", 1, _median(few, "start_s")),
    ):
        yield at_most(figure, reach, (form, limit, value))
