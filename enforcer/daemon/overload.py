"""What floods cost: events lost on the way here, addresses that gave way, no room to track."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.abi import Stat
from enforcer.core.changes import Change
from enforcer.core.problem import Problem
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.problems import Problems
from enforcer.edge import conntrack
from enforcer.log import LOGGER

FULL = "room for addresses"
TRACKED = "room for connections"
# Of what can be tracked: those that give way to new ones are gone by then.
NEARLY = 0.95


class Overload:
    """Makes good what can be made good, and tells the rest.

    Args:
        books: of what is open.
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        problems: told while addresses have to give way, or connections find no room.
        room: tells how many are tracked, and how many can be.
    """

    def __init__(
        self,
        books: Books,
        datapath: Datapath,
        kernel: KernelThread,
        problems: Problems,
        room: Callable[[], tuple[int, int] | None] = conntrack.room,
    ) -> None:
        self._books = books
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._room = room
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
        self._tell_what_is_tracked()
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

    def _tell_what_is_tracked(self) -> None:
        count, most = self._room() or (0, 1)
        if count < NEARLY * most:
            self._problems.settle(TRACKED)
            return
        text = f"{count} connections are tracked, of {most} that can be: new ones fail"
        hint = "see whose: conntrack -L; or raise net.netfilter.nf_conntrack_max"
        self._problems.recount(TRACKED, Problem(text, hint))
