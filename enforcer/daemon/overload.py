"""What a flood of answers costs: events lost on the way here, addresses that gave way."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.abi import Stat
from enforcer.core.changes import Change
from enforcer.core.problem import Problem
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.problems import Problems
from enforcer.log import LOGGER

FULL = "room for addresses"


class Overload:
    """Makes good what can be made good, and tells the rest.

    Args:
        books: of what is open.
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        problems: told while addresses have to give way.
    """

    def __init__(
        self, books: Books, datapath: Datapath, kernel: KernelThread, problems: Problems
    ) -> None:
        self._books = books
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._lost = 0
        self._gave_way = 0

    async def check(self, take_events: Callable[[], object]) -> Change:
        """Return what to write so that nothing that the kernel learned ends too early.

        The packet path opens an address for a minute and leaves the rest to the
        event of its answer. Where that was lost, the address would go on only for
        connections that the mark is put on, and only until a reload.

        Args:
            take_events: takes the answers that did arrive.
        """
        self._tell_what_gave_way()
        lost = (await self._kernel.run(self._datapath.programs.stats))[Stat.LOST]
        if lost == self._lost:
            return Change()
        LOGGER.warning("%d DNS answers came faster than they could be read", lost - self._lost)
        learned = await self._kernel.run(self._datapath.programs.learned)
        # Afterwards: what was learned until now has its event in the ring, or lost it.
        take_events()
        self._lost = lost
        return self._books.adopt(learned, self._datapath.own)

    def _tell_what_gave_way(self) -> None:
        gave_way, self._gave_way = self._books.gave_way - self._gave_way, self._books.gave_way
        if gave_way:
            text = (
                f"{len(self._books)} addresses are open, as many as there is room for:"
                " those of the entry that has most give way to new ones"
            )
            hint = (
                "permit fewer names below wildcards, or shorten `dns: {grace: ...}` in the policy"
            )
            self._problems.raise_(FULL, Problem(text, hint))
        else:
            self._problems.settle(FULL)
