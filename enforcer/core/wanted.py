"""What was denied in all, by host and port: for whoever writes a policy from it.

Pure: no I/O, no clock; every `now` is wall clock, in seconds since the epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from enforcer.core.addresses import Address, learnable
from enforcer.core.denials import Attempt

# More hosts than anybody reads; half a kilobyte each.
MAX_WANTED = 4096
# Who asked, as far as that helps to recognize what it is for.
MAX_PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host and port that was denied, or would have been.

    Attributes:
        host: the name last answered for the address; empty where none was.
        address: that was denied last; of several hosts at one address there are several.
        protocol: its IP protocol number.
        port: 0 where the protocol has none.
        private: an address was, or is, one that a host must be marked `private` for.
        packets: so many.
        processes: that asked, as they are called, the first ones.
        first: when, wall clock in seconds since the epoch.
        last: likewise.
    """

    host: str
    address: Address
    protocol: int
    port: int
    private: bool
    packets: int
    processes: tuple[str, ...]
    first: float
    last: float


class AllWanted:
    """What was wanted; of too many, what was not wanted for the longest time is forgotten.

    Attributes:
        forgotten: how many were.
    """

    def __init__(self, capacity: int = MAX_WANTED) -> None:
        self._capacity = capacity
        # By host, or address where there is none, protocol and port; the latest last.
        self._wanted: OrderedDict[tuple[str | Address, int, int], Wanted] = OrderedDict()
        self.forgotten = 0

    def __iter__(self) -> Iterator[Wanted]:
        return iter(self._wanted.values())

    def add(self, attempt: Attempt, now: float, process: str = "") -> None:
        """Count *attempt*.

        Args:
            attempt: that was denied, or would have been.
            now: when.
            process: who asked, where that was looked up; may be empty.
        """
        to = attempt.destination
        private = not learnable(to.address, private=False)
        key = attempt.host or to.address, to.protocol, to.port
        known = self._wanted.get(key)
        if known is None:
            known = Wanted(attempt.host, to.address, to.protocol, to.port, private, 0, (), now, now)
        processes = known.processes
        if process and process not in processes and len(processes) < MAX_PROCESSES:
            processes = (*processes, process)
        self._wanted[key] = replace(
            known,
            address=to.address,
            private=known.private or private,
            packets=known.packets + 1,
            processes=processes,
            last=now,
        )
        self._wanted.move_to_end(key)
        if len(self._wanted) > self._capacity:
            self._wanted.popitem(last=False)
            self.forgotten += 1
