"""Tell of what is denied: from the kernel's log to the records, and to our log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from enforcer.core.denial_words import as_document
from enforcer.core.denials import WINDOW_S, Attempt, Denial, Denials, Details, Verdict
from enforcer.core.policy import Policy
from enforcer.core.problem import Problem
from enforcer.core.ruleset import DENIED_GROUP
from enforcer.core.wanted import AllWanted
from enforcer.daemon.identity import Identity
from enforcer.daemon.problems import Problems
from enforcer.edge.clocks import wall_ahead_s
from enforcer.edge.judge import Judge
from enforcer.edge.nflog import PacketLog
from enforcer.errors import DatapathError
from enforcer.log import LOGGER

PROBLEM = "the log of denied packets"
# Packets that are taken before anything else gets its turn: some milliseconds.
AT_ONCE = 32
# Windows that end so soon after one another are told together.
TOLD_WITHIN_S = 1.0
# What is less is no setting of the wall clock but how it is read, or slewed.
SET_BY_S = 1.0


class DenialLog:
    """Records and tells what the kernel logs as denied, on the running event loop.

    Args:
        identity: says who asked for what.
        policy: returns the one in force.
        problems: told if nothing can be recorded.

    Attributes:
        wanted: all that was denied, by host.
    """

    def __init__(
        self, identity: Identity, policy: Callable[[], Policy], problems: Problems
    ) -> None:
        self._records = Denials()
        self.wanted = AllWanted()
        self._ahead_s = wall_ahead_s()
        self._began = time.time() - self._ahead_s
        self._identity = identity
        self._policy = policy
        self._problems = problems
        self._log: PacketLog | None = None
        self._heard: tuple[int, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def records(self) -> Denials:
        """What was denied lately, by the wall clock as it is now."""
        self._now()
        return self._records

    @property
    def since(self) -> float:
        """When it began to be recorded, likewise in seconds since the epoch."""
        return self._began + wall_ahead_s()

    @property
    def lost(self) -> int:
        """How many logged packets were not taken in time."""
        return 0 if self._log is None else self._log.lost

    def start(self) -> None:
        """Listen to the kernel's log; without that, denials are counted and nothing else."""
        try:
            self._log = PacketLog(DENIED_GROUP)
        except DatapathError as exc:
            text = f"what is denied is counted, not recorded: {exc.message}"
            self._problems.raise_(PROBLEM, Problem(text, exc.hint))
            return
        asyncio.get_running_loop().add_reader(self._log.fileno(), self._take, self._log)

    def hear(self, judge: Judge) -> None:
        """Listen to *judge* too, whose denials make no packets.

        Raises:
            DatapathError: the kernel gives no rings for them.
        """
        self._heard = judge.listen()
        for fd in self._heard:
            asyncio.get_running_loop().add_reader(fd, self._take_connections, judge)

    def close(self) -> None:
        """Stop."""
        for fd in self._heard:
            asyncio.get_running_loop().remove_reader(fd)
        if self._log is not None:
            asyncio.get_running_loop().remove_reader(self._log.fileno())
            self._log.close()
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, log: PacketLog) -> None:
        packets = log.read(AT_ONCE)
        self._identity.catch_up()
        self._record(map(self._identity.of, packets))

    def _take_connections(self, judge: Judge) -> None:
        denied = judge.denied(AT_ONCE)
        self._identity.catch_up()
        self._record(map(self._identity.of_connection, denied))

    def _record(self, attempts: Iterable[tuple[Attempt, Callable[[], Details]]]) -> None:
        policy = self._policy()
        verdict = Verdict(policy.organization, policy.mode)
        for attempt, details in attempts:
            now = self._now()
            begun = self._records.add(attempt, verdict, details, now)
            self.wanted.add(attempt, now, "" if begun is None else begun.details.process)
            if begun is not None:
                self._tell(begun)
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        ends = self._records.next_over()
        self._timer = None
        if ends is not None:
            # No more than a window, whatever somebody does to the clock.
            left_s = min(WINDOW_S, max(0.0, ends - time.time())) + TOLD_WITHIN_S
            self._timer = asyncio.get_running_loop().call_later(left_s, self._close_windows)

    def _close_windows(self) -> None:
        for denial in self._records.over(self._now()):
            self._tell(denial)
        self._wait()

    def _now(self) -> float:
        """Return the wall clock; if somebody has set it, what is recorded moves with it.

        What was denied a minute ago still was, also when a clock that began in 1970 is set.
        """
        ahead_s = wall_ahead_s()
        if abs(ahead_s - self._ahead_s) > SET_BY_S:
            self._records.shift(ahead_s - self._ahead_s)
            self._ahead_s = ahead_s
        return time.time()

    def _tell(self, denial: Denial) -> None:
        document = as_document(denial)
        LOGGER.warning("%s", document.pop("text"), extra={"fields": {"denial": document}})
