"""Which tc program is on which interface, kept as the network needs it.

Blocking, as the rest of the data path.
"""

from __future__ import annotations

from enforcer.core.interfaces import LEARNING, Network, Program
from enforcer.edge.bpf import program_id
from enforcer.edge.filters import Filters, Running
from enforcer.edge.programs import Programs
from enforcer.errors import DatapathError


class Placement:
    """Puts the programs on interfaces, as filters.

    Args:
        filters: of the machine.
        programs: loaded; they stay the caller's to close.

    Attributes:
        put_back: what the last look found taken off, in words.
        beside: whether programs of an earlier process stay beside ours.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, filters: Filters, programs: Programs, *, beside: bool) -> None:
        self._filters = filters
        self._descriptors = {
            Program.DNS_QUERY: programs.dns_query,
            Program.DNS_ANSWER: programs.dns_answer,
            Program.FORWARD_MARK: programs.forward_mark,
        }
        self._ids = {program: program_id(fd) for program, fd in self._descriptors.items()}
        self._learning = frozenset((program, self._ids[program]) for program in LEARNING)
        self._placed: set[tuple[int, Program]] = set()  # by index of the interface
        self.put_back: tuple[str, ...] = ()
        self.beside = beside

    def forget(self) -> None:
        """Take for nobody's doing that programs are not where they were."""
        self._placed.clear()

    def follow(self, network: Network, *, lost: bool = False) -> dict[str, DatapathError]:
        """Put each program where it belongs in *network*, and take it from everywhere else.

        Args:
            network: as it is.
            lost: no route leads to some resolver, for now. When there is one again, that
                resolver's first answers come before we have looked: what learns stays where
                it is. It learns nothing there from anybody else.

        Returns: what stands in the way, by the name of the interface.
        """
        refused: dict[str, DatapathError] = {}
        attached = self._filters.attached()
        unwanted: dict[int, frozenset[Running]] = {}
        before, self._placed = self._placed, set()
        taken_off: list[str] = []
        for interface in network.interfaces:
            there = attached.get(interface.index, frozenset())
            wanted = network.programs(interface)
            ours = {(program, self._ids[program]) for program in wanted}
            if missing := {program: self._descriptors[program] for program, _ in ours - there}:
                try:
                    self._filters.attach(interface, missing)
                except DatapathError as exc:
                    refused[interface.name] = exc
                    continue
            # Those of an earlier process have other ids.
            waiting = self._learning if lost else frozenset()
            if not self.beside and (more := there - ours - waiting):
                unwanted[interface.index] = more
            self._placed |= {(interface.index, program) for program in wanted}
            taken_off += [
                f"{program.value} was taken off {interface.name}"
                for program in missing
                if (interface.index, program) in before
            ]
        self._filters.detach(unwanted)
        self.put_back = tuple(sorted(taken_off))
        return refused
