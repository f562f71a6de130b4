"""Print the time and memory that policies of 10, 1,000 and 10,000 hosts take to load.

Loading is what `enforcer run` and `enforcer reload` do before they touch the
kernel: parse and validate the file, then build the names the kernel matches.
Nothing is asserted: the figures are for people to compare.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc

from enforcer.core.grants import Grants
from enforcer.core.policy import parse_policy

SIZES = (10, 1_000, 10_000)


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


def load(text: str) -> Grants:
    """Load a policy as far as user space goes."""
    return Grants(parse_policy(text, "bench.yaml").hosts)


def seconds(text: str) -> float:
    """Return the time one load takes."""
    start = time.perf_counter()
    load(text)
    return time.perf_counter() - start


def peak_bytes(text: str) -> int:
    """Return the most memory that Python objects hold during one load; tracing slows it."""
    tracemalloc.start()
    load(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> None:
    """Measure every size and print a line for each."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="loads to time (default: 5)")
    rounds = parser.parse_args().rounds
    print(f"{'hosts':>7} {'median':>10} {'slowest':>10} {'peak':>10}")
    for size in SIZES:
        text = policy_text(size)
        times = [seconds(text) for _ in range(rounds)]
        median, slowest, peak = statistics.median(times), max(times), peak_bytes(text)
        print(f"{size:>7,} {median:>8.3f} s {slowest:>8.3f} s {peak / 2**20:>6.1f} MiB")


if __name__ == "__main__":
    main()
