"""What a running daemon has in the file system: its lock files, its socket and its record."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from enforcer.core.problem import Problem
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.problems import Problems
from enforcer.daemon.waking import waking, woken
from enforcer.edge.control import Server
from enforcer.edge.inotify import FileEvents, WatchError
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import EnforcerError

KEY = "the runtime directory"
# Not all is announced: a file system may be mounted over the directory.
AT_LEAST_EVERY_S = 5.0
# Whoever takes it away again and again must not keep us busy.
REST_S = 0.1


class Presence:
    """Puts back what somebody took away, or nobody could ask or stop the daemon any more.

    Meanwhile a second one could start as well, so it is done at once. What can't be put
    back is tried again.

    Args:
        runtime: held by this process.
        server: listens in it.
        datapath: knows what to record; only touched on *kernel*.
        kernel: the thread for it.
        problems: told what can't be put back.
        repaired: told what was.
    """

    def __init__(
        self,
        runtime: RuntimeDir,
        server: Server,
        datapath: Datapath,
        kernel: KernelThread,
        problems: Problems,
        repaired: Callable[[str], None],
    ) -> None:
        self._runtime = runtime
        self._server = server
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._repaired = repaired
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look after it until cancelled."""
        with contextlib.closing(FileEvents()) as events:
            while True:
                await self._look(events)
                await asyncio.sleep(REST_S)
                self._wake.clear()
                with waking(self._wake, events):
                    await woken(self._wake, AT_LEAST_EVERY_S)

    async def _look(self, events: FileEvents) -> None:
        refused: EnforcerError | None = None
        try:
            events.drain()
            # Before looking: what is taken away after that is announced.
            events.watch((*self._runtime.files, *self._datapath.boot.files))
        except WatchError as exc:
            refused = exc
        try:
            await self._restore()
        except EnforcerError as exc:
            refused = exc
        if refused is None:
            self._problems.settle(KEY)
        else:
            self._problems.raise_(KEY, Problem(refused.message, refused.hint))

    async def _restore(self) -> None:
        missing = []
        if not self._runtime.held:
            missing.append("lock files")
            self._runtime.hold()
        if not self._server.reachable:
            missing.append("control socket")
            await self._server.start()
        if await self._kernel.run(self._datapath.record):
            missing.append("record")
        if missing:
            text = f"somebody removed from {self._runtime.path}: {', '.join(missing)}"
            self._repaired(text)
        boot = self._datapath.boot
        if await self._kernel.run(boot.put):
            self._repaired(f"somebody changed or removed {boot.path}, for the next boot")
