"""`./dev chaos`: connections of all kinds while things happen to the machine and its daemon."""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.machine import facts
from bench.results import goals_table, render
from chaos.plan import KINDS, Step, plan, upgrade
from chaos.previous import NoSuchCommit, package
from chaos.report import document, goals, tables
from chaos.run import run

EVENTS = 100
RATE = 1000.0


def main() -> int:
    """Run as the arguments say; return the exit status, 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=EVENTS, metavar="EVENTS")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--rate", type=float, default=RATE, help="connections a second")
    parser.add_argument(
        "--kind", action="append", choices=KINDS, help="of events; all if not given"
    )
    parser.add_argument(
        "--upgrade-from", metavar="REV", help="begin with the daemon of an earlier commit"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    machine = facts()
    print("\n".join(f"{name + ':':10}{value}" for name, value in machine.items()))
    print(f"seed:     {seed}", flush=True)
    steps = plan(options.events, seed, options.kind or KINDS)
    with contextlib.ExitStack() as stack:
        before = None
        if options.upgrade_from:
            try:
                before = stack.enter_context(package(options.upgrade_from))
            except NoSuchCommit as exc:
                parser.error(str(exc))
            steps = (upgrade(seed), *steps)
        outcome = run(_told(steps), options.rate, seed, before=before)
    for table in tables(outcome):
        print(f"\n{render(table)}")
    for complaint in outcome.record.complaints:
        print(f"\n{complaint}")
    reached = goals(outcome)
    print(f"\n{render(goals_table(reached))}")
    if options.json:
        whole = {"machine": machine, "seed": seed, **document(outcome)}
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(not all(goal.met for goal in reached))


def _told(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield *steps*, and tell on standard error how far it is."""
    for number, step in enumerate(steps, 1):
        what = f"{step.kind} {step.target}".rstrip()
        print(f"chaos: {number} of {len(steps)}: {what}", file=sys.stderr, flush=True)
        yield step


if __name__ == "__main__":
    sys.exit(main())
