"""Who runs first while answers come: those who asked.

The kernel opens the way before anybody has read an answer. What is left to us is books
and exact lifetimes, which can wait; done at once they delay the connection that the answer
was asked for. But nothing that a firewall does may wait for ever, either.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

from enforcer.log import LOGGER

# At all times: behind what people wait for, and with a tenth of a CPU next to it.
NICENESS = 10
_LOWEST_PRIORITY = 20  # getrlimit(2), RLIMIT_NICE: what it counts from
# Next to a busy process SCHED_IDLE gets 3 of 1,027 parts of a CPU (kernel/sched/sched.h:
# WEIGHT_IDLEPRIO), a turn twice a second. Who looks so late had no CPU that was idle.
STARVED_S = 0.1
# With ten busy ones on its CPU the next turn is ten seconds away, and no other thread of ours can
# do anything about it: this one may hold Python's lock. So among more than so many on each CPU it
# never steps back.
CROWD = 2
# And has none soon: until then the machine is taken for busy.
BUSY_FOR_S = 10.0


def may_come_back() -> bool:
    """Tell whether RLIMIT_NICE lets a process leave SCHED_IDLE for NICENESS, as the unit's does."""
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return limit == resource.RLIM_INFINITY or limit >= _LOWEST_PRIORITY - NICENESS


def ordinary() -> None:
    """Schedule the calling thread like any: one that was started during a burst is not."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def crowded() -> bool:
    """Tell whether more threads want to run than are good company for one of SCHED_IDLE."""
    try:
        # proc(5): "0.20 0.18 0.12 1/80 11206", the fourth of which begins with those that run.
        running = Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0]
    except OSError:
        return True
    return int(running) > CROWD * len(os.sched_getaffinity(0))


class Courtesy:
    """Lets everybody else run before the calling thread while answers come.

    Args:
        crowded: whether too many want to run for that.
    """

    def __init__(self, crowded: Callable[[], bool] = crowded) -> None:
        self._crowded = crowded
        self._busy_until = 0.0
        self._behind = False

    def begin(self, now: float) -> None:
        """Step back behind all others at *now*, in monotonic seconds, where there is room."""
        if now >= self._busy_until and not self._behind and not self._crowded():
            self._behind = _scheduled(os.SCHED_IDLE)

    def starving(self, late_s: float, now: float) -> None:
        """Hear at *now* that something was done *late_s* after its time."""
        if self._behind and (late_s > STARVED_S or self._crowded()):
            self._busy_until = now + BUSY_FOR_S
            self.end()

    def end(self) -> None:
        """Take the usual place again."""
        if self._behind:
            self._behind = not _scheduled(os.SCHED_OTHER)


def _scheduled(policy: int) -> bool:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError as exc:
        LOGGER.warning("can't change the scheduling policy: %s", exc.strerror)
        return False
    return True
