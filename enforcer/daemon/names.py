"""Remember by which names people asked for addresses, those that are not permitted too."""

from __future__ import annotations

import asyncio
import time

from enforcer.core import answers
from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.seen import SeenNames
from enforcer.edge.programs import Programs
from enforcer.errors import MalformedAnswer

# Answers that are taken before anything else gets its turn: some milliseconds.
AT_ONCE = 64


class Names:
    """The names in answers of trusted resolvers, whoever asked.

    Args:
        programs: pass on some of the answers for names that are not permitted.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._seen = SeenNames()
        self._descriptors: tuple[int, ...] = ()

    def start(self) -> None:
        """Begin to take answers for other names.

        Raises:
            DatapathError: the kernel gives no rings for them.
        """
        self._descriptors = self._programs.open_others()
        for fd in self._descriptors:
            asyncio.get_running_loop().add_reader(fd, self.take)

    def close(self) -> None:
        """Stop."""
        for fd in self._descriptors:
            asyncio.get_running_loop().remove_reader(fd)

    def take(self) -> None:
        """Take answers for other names that are there."""
        for wire in self._programs.others(AT_ONCE):
            try:
                answer = answers.parse(wire)
            except MalformedAnswer:
                continue  # of a name that leads nowhere
            self.saw(answer)

    def saw(self, answer: Answer) -> None:
        """Remember *answer*."""
        self._seen.saw(answer, time.monotonic())

    def of(self, address: Address) -> tuple[str, ...]:
        """Return the names that *address* was answered for lately, the last one first."""
        return self._seen.names(address, time.monotonic())
