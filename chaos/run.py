"""One run: a machine, its daemon, probers, and one event after the other."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.events import Record, Stage
from chaos.judgement import Fault, Judge, read_arrival, read_attempt
from chaos.kinds import policy
from chaos.plan import Step
from chaos.world import Scripts, probing, world
from tests.lab.daemon import Enforcer, NotStarted
from tests.lab.namespace import CommandFailed
from tests.lab.topology import Topology
from tests.lab.wait import DeadlinePassed, until

# Before the first event and after the last one.
_QUIET_S = 1.0
_HEALTHY_WITHIN_S = 15.0
# What ends a run early; what was seen until then is reported all the same.
BROKEN_OFF = (DeadlinePassed, CommandFailed, NotStarted, subprocess.TimeoutExpired)


@dataclass(frozen=True)
class Outcome:
    """What was done and found.

    Attributes:
        began: in monotonic seconds, as all other times.
        counts: of connections by place and by ``KIND FAMILY OUTCOME``.
        echoes: of connections that were kept, likewise.
        faults: what must not have been, excused or not.
        arrivals: first SYNs in the world of what is not always permitted.
        missed: those that the witness had no room for.
        elapsed_s: of probing.
        skipped: connections that the probers had no time for.
    """

    record: Record
    began: float
    counts: Mapping[str, Mapping[str, int]]
    echoes: Mapping[str, Mapping[str, int]]
    faults: Sequence[Fault]
    arrivals: int
    missed: int
    elapsed_s: float
    skipped: int

    @property
    def unexcused(self) -> tuple[Fault, ...]:
        """Return the faults that no window excuses."""
        return tuple(fault for fault in self.faults if fault.window is None)

    @property
    def opened(self) -> int:
        """Return how many connections were begun."""
        return sum(sum(counts.values()) for counts in self.counts.values())


def run(steps: Iterable[Step], rate: float, seed: int, *, before: Path | None = None) -> Outcome:
    """Probe while *steps* happen.

    Args:
        steps: what happens.
        rate: connections a second in all.
        seed: of what is probed.
        before: folder with the package of the daemon that runs first; None: this checkout's.

    Raises:
        NotStarted: the daemon did not start.
        CommandFailed: the lab did not do what it should.
    """
    with world() as net:
        first = Enforcer(net, policy(0), code=before)
        first.start()
        stage = Stage(net, first)
        try:
            return _run(net, stage, steps, rate, seed)
        finally:
            stage.close()
            stage.enforcer.kill()


def _run(net: Topology, stage: Stage, steps: Iterable[Step], rate: float, seed: int) -> Outcome:
    record = stage.record
    with probing(net, rate, seed) as scripts:
        began = time.monotonic()
        time.sleep(_QUIET_S)
        try:
            for step in steps:
                stage.perform(step)
                time.sleep(step.gap_s)
            _end(stage)
        except BROKEN_OFF as exc:
            record.complaints.append(f"event {len(record.events)}: {exc}")
        time.sleep(_QUIET_S)
    stage.look()
    stage.part()
    return found(record, began, scripts)


def found(record: Record, began: float, scripts: Scripts) -> Outcome:
    """Return what scripts that have ended saw.

    Args:
        record: of what happened.
        began: when, in monotonic seconds.
        scripts: of `probing`.
    """
    probers, keepers = scripts.probers, scripts.keepers
    attempts = [
        read_attempt(place, line)
        for place in probers
        for line in (*probers[place].lines, *keepers[place].lines)
    ]
    arrivals = [read_arrival(line) for line in scripts.witness.lines]
    totals: list[Mapping[str, Any]] = [script.totals for script in probers.values()]
    return Outcome(
        record=record,
        began=began,
        counts={place: script.totals["counts"] for place, script in probers.items()},
        echoes={place: script.totals["counts"] for place, script in keepers.items()},
        faults=Judge(record.windows, record.swings).faults(attempts, arrivals),
        arrivals=len(arrivals),
        missed=scripts.witness.totals["dropped"],
        elapsed_s=max(each["elapsed_s"] for each in totals),
        skipped=sum(each["skipped"] for each in totals),
    )


def _end(stage: Stage) -> None:
    """Wait for health: what was put back is all there, and whatever else was wrong is over."""
    until(lambda: stage.enforcer.status()["healthy"], _HEALTHY_WITHIN_S, "health after all that")
