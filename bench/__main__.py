"""`./dev bench`: run measurements, print their tables, keep every figure."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from bench import answers, connect, denials, denied, flood, learned, policy, programs, throughput
from bench.machine import facts
from bench.results import Goal, goals_table, render

MEASUREMENTS: Mapping[str, ModuleType] = {
    "connect": connect,
    "throughput": throughput,
    "denied": denied,
    "denials": denials,
    "answers": answers,
    "programs": programs,
    "flood": flood,
    "policy": policy,
    "learned": learned,
}


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    for what in options.what:
        if what not in MEASUREMENTS:
            parser.error(f'no measurement "{what}" (there are {", ".join(MEASUREMENTS)})')
    machine = facts()
    print("\n".join(f"{name + ':':10}{value}" for name, value in machine.items()))
    # Others on the machine disturb less; what is compared stays equal among itself.
    os.nice(-10)
    goals: list[Goal] = []
    document = {"machine": machine, "quick": options.quick, "measurements": {}, "goals": []}
    for what in options.what or MEASUREMENTS:
        start = time.monotonic()
        print(f"bench: {what} ...", file=sys.stderr, flush=True)
        module = MEASUREMENTS[what]
        result = module.measure(module.QUICK if options.quick else module.FULL)
        elapsed_s = time.monotonic() - start
        print(f"bench: {what} took {elapsed_s:.0f} s", file=sys.stderr, flush=True)
        for table in result.tables:
            print(f"\n{render(table)}", flush=True)
        goals += result.goals
        document["measurements"][what] = result.raw
    print(f"\n{render(goals_table(goals))}")
    if options.json:
        document["goals"] = [vars(goal) for goal in goals]
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
