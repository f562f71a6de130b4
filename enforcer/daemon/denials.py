"""Tell of what is denied: from the kernel's log to the records, and to our log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from enforcer.core.denial_words import as_document
from enforcer.core.denials import WINDOW_S, Attempt, Denial, Denials, Details
from enforcer.core.policy import Policy
from enforcer.core.problem import Problem
from enforcer.core.ruleset import DENIED_GROUP
from enforcer.core.wanted import AllWanted
from enforcer.daemon.identity import Identity
from enforcer.daemon.problems import Problems
from enforcer.edge.judge import Judge
from enforcer.edge.nflog import PacketLog
from enforcer.errors import DatapathError
from enforcer.log import LOGGER

PROBLEM = "the log of denied packets"
# Packets that are taken before anything else gets its turn: some milliseconds.
AT_ONCE = 32
# Windows that end so soon after one another are told together.
TOLD_WITHIN_S = 1.0


class DenialLog:
    """Records and tells what the kernel logs as denied, on the running event loop.

    Args:
        identity: says who asked for what.
        policy: returns the one in force.
        problems: told if nothing can be recorded.

    Attributes:
        records: of what was denied lately.
        wanted: all of it, by host.
        since: when it began to be recorded, wall clock in seconds since the epoch.
    """

    def __init__(
        self, identity: Identity, policy: Callable[[], Policy], problems: Problems
    ) -> None:
        self.records = Denials()
        self.wanted = AllWanted()
        self.since = time.time()
        self._identity = identity
        self._policy = policy
        self._problems = problems
        self._log: PacketLog | None = None
        self._heard: tuple[int, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

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
        for attempt, details in attempts:
            now = time.time()
            begun = self.records.add(attempt, details, now)
            self.wanted.add(attempt, now, "" if begun is None else begun.details.process)
            if begun is not None:
                self._tell(begun)
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        ends = self.records.next_over()
        self._timer = None
        if ends is not None:
            # No more than a window, whatever somebody does to the clock.
            left_s = min(WINDOW_S, max(0.0, ends - time.time())) + TOLD_WITHIN_S
            self._timer = asyncio.get_running_loop().call_later(left_s, self._close_windows)

    def _close_windows(self) -> None:
        for denial in self.records.over(time.time()):
            self._tell(denial)
        self._wait()

    def _tell(self, denial: Denial) -> None:
        policy = self._policy()
        document = as_document(denial, policy.organization, policy.mode)
        LOGGER.warning("%s", document.pop("text"), extra={"fields": {"denial": document}})
