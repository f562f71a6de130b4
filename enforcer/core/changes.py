"""Changes: what the books tell the kernel, and what they refuse.

Pure: no I/O, no clock; every `now` is in monotonic seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.elements import TimedElement, comment

# An element this close to its end is not worth a write: 0 would mean for ever.
LEAST_TIMEOUT_MS = 1


@dataclass(frozen=True)
class Element:
    """An (address, port) that the kernel is to hold until *expires*.

    Attributes:
        expires: monotonic seconds.
        hosts: the longest-lived behind it, longest first, at most MAX_SHOWN.
    """

    address: Address
    port: int
    expires: float
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """An address in an answer that the answer may not open.

    Attributes:
        private: marking the host `private` would open it.
    """

    host: str
    address: Address
    private: bool

    def __str__(self) -> str:
        named = f"{self.host} answered {self.address}, which is"
        if self.private:
            return f"{named} private"
        return f"{named} this machine's own or reserved and never learned"

    @property
    def hint(self) -> str | None:
        """What to do about it, if anything can be done."""
        return f"set private: true for {self.host}" if self.private else None


@dataclass(frozen=True)
class Change:
    """What the kernel has to be told.

    Attributes:
        rewrite: elements that are new, get a later end, or other hosts; after
            `retain` the end may be earlier too.
        delete: elements to take out; the kernel need not have all of them.
        refused: addresses that were left out.
    """

    rewrite: tuple[Element, ...] = ()
    delete: tuple[Element, ...] = ()
    refused: tuple[Refusal, ...] = ()


def timed(elements: Iterable[Element], now: float) -> Iterator[TimedElement]:
    """Yield *elements* as the sets are told them, without those that end about *now*."""
    for element in elements:
        timeout_ms = math.ceil((element.expires - now) * 1000)
        if timeout_ms >= LEAST_TIMEOUT_MS:
            yield TimedElement(element.address, element.port, timeout_ms, comment(element.hosts))
