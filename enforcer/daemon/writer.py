"""Collect changes of the sets and write them in batches, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from enforcer.core.addresses import Address
from enforcer.core.changes import Change, Element
from enforcer.core.problem import Problem
from enforcer.daemon.problems import Problems
from enforcer.errors import DatapathError

KEY = "elements"
RETRY_AFTER_S = 1.0


class Writer:
    """Changes that come while a batch is being written make up the next one.

    Args:
        write: writes one batch to the kernel.
        problems: told when the kernel refuses one.
        retry_after_s: how long a refused batch waits.
    """

    def __init__(
        self,
        write: Callable[[Change], Awaitable[None]],
        problems: Problems,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        self._write = write
        self._problems = problems
        self._retry_after_s = retry_after_s
        self._rewrite: dict[tuple[Address, int], Element] = {}
        self._delete: dict[tuple[Address, int], Element] = {}
        self._wake = asyncio.Event()

    def put(self, change: Change) -> None:
        """Take *change* into the next batch; what it says of an element is the last word."""
        for element in change.delete:
            self._rewrite.pop((element.address, element.port), None)
            self._delete[element.address, element.port] = element
        for element in change.rewrite:
            self._delete.pop((element.address, element.port), None)
            self._rewrite[element.address, element.port] = element
        if self._rewrite or self._delete:
            self._wake.set()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch = Change(tuple(self._rewrite.values()), tuple(self._delete.values()))
            self._rewrite, self._delete = {}, {}
            try:
                await self._write(batch)
            except DatapathError as exc:
                self._problems.raise_(KEY, Problem(exc.message, exc.hint))
                self._put_back(batch)
                await asyncio.sleep(self._retry_after_s)
                self._wake.set()
            else:
                self._problems.settle(KEY)

    def _put_back(self, batch: Change) -> None:
        """Keep *batch* for the next one, below what has come since."""
        later = Change(tuple(self._rewrite.values()), tuple(self._delete.values()))
        self._rewrite, self._delete = {}, {}
        self.put(batch)
        self.put(later)
