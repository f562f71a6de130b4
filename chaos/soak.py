"""`./dev soak`: hours of an ordinary load, and whether anything grows."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.machine import facts
from bench.results import Goal, Table, at_most, goals_table, render
from chaos.events import Stage
from chaos.graph import svg
from chaos.kinds import FRESH, policy
from chaos.newcomer import connects
from chaos.plan import Step
from chaos.report import document
from chaos.run import BROKEN_OFF, Outcome, found
from chaos.samples import DESCRIPTORS, FIGURES, RESIDENT, THREADS, Sampler
from chaos.trend import per_hour
from chaos.world import probing, world
from enforcer.abi import MAX_LEARNED
from tests.lab.daemon import Enforcer

MINUTES = 30.0
RATE = 200.0
SAMPLE_EVERY_S = 5.0
CONTAINER_EVERY_S = 20.0
RELOAD_EVERY_S = 45.0
# At first what remembers addresses is filled to its bound (core/opened.py: two for each that
# may be open), and on until its table, which has a third more room, was laid out anew: what
# grows after that has no bound.
_REMEMBERED = 3 * MAX_LEARNED
_FILL_RATE = 1000.0
# Of the time, for what fills then: sets, maps, memory that is used again.
_WARMING_UP = 0.25
# An hour of growth that a year of uptime could bear: half a GiB.
_RESIDENT_MIB_PER_HOUR = 0.5


@dataclass(frozen=True)
class Soak:
    """What was found.

    Attributes:
        times_s: of the samples, since the beginning.
        figures: values at those times.
        containers: that came and went.
        wrong: connections of theirs that ended otherwise than they should.
        probed: what probers and witness say.
    """

    times_s: Sequence[float]
    figures: Mapping[str, Sequence[float]]
    containers: int
    wrong: int
    probed: Outcome

    def settled(self, figure: str) -> tuple[Sequence[float], Sequence[float]]:
        """Return times and values of *figure* after the beginning, when all fills."""
        first = int(len(self.times_s) * _WARMING_UP)
        return self.times_s[first:], self.figures[figure][first:]


def soak(minutes: float, rate: float, seed: int, fill: float = 1.0) -> Soak:
    """Load a machine that long.

    Args:
        minutes: how long.
        rate: connections a second.
        seed: of what is probed.
        fill: how full to make at first what remembers addresses; 1: full.
    """
    with world() as net:
        enforcer = Enforcer(net, policy(0))
        enforcer.start()
        stage = Stage(net, enforcer)
        try:
            # IPv6: the lab has fewer addresses of IPv4, and one that comes again for another name
            # is remembered for both.
            with probing(net, _FILL_RATE, seed, (FRESH, 6)):
                time.sleep(fill * _REMEMBERED / _FILL_RATE)
            with closing(Sampler(net.host)) as sampler, probing(net, rate, seed) as scripts:
                began = time.monotonic()
                times_s: list[float] = []
                figures: dict[str, list[float]] = {name: [] for name in FIGURES}
                due = {"sample": began, "container": began, "reload": began + RELOAD_EVERY_S}
                wrong, containers = 0, itertools.count()
                while min(due.values()) < began + minutes * 60:
                    what = min(due, key=due.__getitem__)
                    time.sleep(max(0.0, due[what] - time.monotonic()))
                    if what == "sample":
                        times_s.append(time.monotonic() - began)
                        for name, value in sampler.sample(enforcer.process.pid).items():
                            figures[name].append(value)
                        due[what] += SAMPLE_EVERY_S
                    elif what == "container":
                        wrong += connects(net, next(containers))
                        due[what] += CONTAINER_EVERY_S
                    else:
                        try:
                            stage.perform(Step("reload", "", 0.0, 0.0))
                        except BROKEN_OFF as exc:
                            stage.record.complaints.append(str(exc))
                            break
                        due[what] += RELOAD_EVERY_S
            stage.look()
            stage.part()
            probed = found(stage.record, began, scripts)
            return Soak(times_s, figures, next(containers), wrong, probed)
        finally:
            stage.close()
            enforcer.kill()


def table(result: Soak) -> Table:
    """Return the figures at the beginning, in the end, and how they grow."""
    rows = []
    for name in FIGURES:
        values = result.figures[name]
        slope = per_hour(*result.settled(name))
        settled = result.settled(name)[1]
        rows.append(
            (
                name,
                f"{values[0]:,.1f}",
                f"{min(settled):,.1f}",
                f"{max(settled):,.1f}",
                f"{values[-1]:,.1f}",
                f"{slope:+,.2f}",
            )
        )
    minutes = result.times_s[-1] / 60
    title = (
        f"{minutes:.0f} minutes, {result.probed.opened:,} connections, "
        f"{result.containers} containers, {len(result.probed.record.events)} reloads"
    )
    head = ("", "first", "least", "most", "last", "growth an hour")
    return Table(title, head, tuple(rows))


def goals(result: Soak) -> list[Goal]:
    """Return what is to be reached, and whether it is."""
    resident, descriptors, threads = (
        per_hour(*result.settled(name)) for name in (RESIDENT, DESCRIPTORS, THREADS)
    )
    bound = _RESIDENT_MIB_PER_HOUR
    wrong = result.wrong + len(result.probed.unexcused) + len(result.probed.record.complaints)
    return [
        at_most("memory, growth an hour", f"<= {bound} MiB", ("{:+.2f} MiB", bound, resident)),
        at_most("descriptors, growth an hour", "0", ("{:+.2f}", 0, descriptors)),
        at_most("threads, growth an hour", "0", ("{:+.2f}", 0, threads)),
        at_most("connections that went wrong", "0", ("{:.0f}", 0, wrong)),
    ]


def main() -> int:
    """Soak as the arguments say; return the exit status, 1 when something grows."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=MINUTES, metavar="MINUTES")
    parser.add_argument("--rate", type=float, default=RATE, help="connections a second")
    parser.add_argument("--seed", type=int, default=1, help="of what is connected to")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    options = parser.parse_args()
    machine = facts()
    print("\n".join(f"{name + ':':10}{value}" for name, value in machine.items()), flush=True)
    result = soak(options.minutes, options.rate, options.seed)
    print(f"\n{render(table(result))}")
    reached = goals(result)
    print(f"\n{render(goals_table(reached))}")
    for fault in result.probed.unexcused[:20]:
        print(f"{fault.at - result.probed.began:.3f} {fault.where} {fault.kind} {fault.outcome}")
    print("\n".join(result.probed.record.complaints))
    if options.svg:
        title = f"enforcer {machine['enforcer']} under load; lines: reloads"
        reloads = [began - result.probed.began for _, _, began, _ in result.probed.record.events]
        drawn = svg(title, result.times_s, result.figures, reloads)
        options.svg.write_text(drawn, encoding="utf-8")
    if options.json:
        whole = {
            "machine": machine,
            "times_s": result.times_s,
            "figures": result.figures,
            "probed": document(result.probed),
        }
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(not all(goal.met for goal in reached))


if __name__ == "__main__":
    sys.exit(main())
