"""What somebody else changed of what we put into the kernel, and what was put back."""

from __future__ import annotations

import time
from collections.abc import Callable

from enforcer.core.judgement import in_words
from enforcer.core.opened import Pair
from enforcer.core.repairs import Repair, Repairs
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.log import LOGGER


class Drift:
    """Compares the table with what it was told to be, and tells of repairs.

    Args:
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        books: what is open, and why.
        take_events: takes into the books what the kernel passed on.
    """

    def __init__(
        self,
        datapath: Datapath,
        kernel: KernelThread,
        books: Books,
        take_events: Callable[[], object],
    ) -> None:
        self._datapath = datapath
        self._kernel = kernel
        self._books = books
        self._take_events = take_events
        self._repairs = Repairs()

    def repaired(self, what: str) -> None:
        """Tell that *what*, which somebody had changed, is put back."""
        LOGGER.warning("%s: it is put back", what)
        self._repairs.add(what, time.monotonic(), time.time())

    def recent(self) -> tuple[Repair, ...]:
        """Return what was put back lately."""
        return self._repairs.recent(time.monotonic())

    @property
    def repairs(self) -> int:
        """How often something was put back."""
        return self._repairs.total

    async def found(self) -> str | None:
        """Return how the table differs from what it was told to be, in words; None: it does not.

        Raises:
            DatapathError: the kernel does not say.
        """
        if edited := await self._kernel.run(self._datapath.firewall.edited, None):
            return in_words(edited)
        if strangers := await self._strangers():
            address, port = min(strangers, key=str)
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            return f"somebody else opened {address} port {port}{more}"
        return None

    async def _strangers(self) -> frozenset[Pair]:
        """Return what is open in the kernel though no answer opened it."""
        firewall = self._datapath.firewall
        touched = await self._kernel.run(firewall.touched)
        if touched is None:
            return frozenset()
        before = self._books.pairs()
        found = await self._kernel.run(firewall.open)
        # Afterwards: what the packet path added was learned before.
        learned = await self._kernel.run(self._datapath.programs.learned)
        self._take_events()
        strangers = found - before - learned.keys() - self._books.pairs()
        if not strangers:
            await self._kernel.run(firewall.accept, touched)
        return strangers
