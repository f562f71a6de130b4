"""The perf rings of one map, one for each CPU, read as one."""

from __future__ import annotations

import contextlib
import math
import os
import struct
from collections.abc import Mapping

from enforcer.edge import cpus, ring  # noqa: TID251 - each CPU has a ring
from enforcer.edge.maps import Map  # noqa: TID251 - where programs find them
from enforcer.errors import DatapathError

_KEY = struct.Struct("=I")


class Rings:
    """What BPF programs submit to a map, on whatever CPU.

    Args:
        elements: of the map.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, elements: Map) -> None:
        self._map = elements
        self._rings: dict[int, ring.Ring] = {}  # by CPU
        self._more: int | None = None

    def open(self, most_pages: int = ring.MOST_PAGES) -> tuple[int, ...]:
        """Open the rings; return descriptors that are readable when `drain` has work.

        A CPU that comes online later has none: what is submitted there is lost.

        Args:
            most_pages: of each ring, a power of 2.
        """
        try:
            self._more = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            online = cpus.online()
            for cpu in online:
                self._rings[cpu] = ring.Ring(cpu, min(most_pages, ring.pages(len(online))))
        except OSError as exc:
            raise DatapathError(f"can't open the event rings: {exc.strerror}") from exc
        self.announce()
        return (self._more, *(each.fd for each in self._rings.values()))

    def close(self) -> None:
        """Close them; what they hold is lost."""
        for each in self._rings.values():
            each.close()
        self._rings = {}
        if self._more is not None:
            os.close(self._more)
            self._more = None

    def announce(self) -> None:
        """Have each sample make a descriptor of `open` readable, as at first."""
        self._submit_to({cpu: each.fd for cpu, each in self._rings.items()})

    def hush(self) -> None:
        """Announce nothing before a ring is half full, for a caller who drains in time.

        What is on its way through the programs at the moment of `announce` may still be
        silent: drain once more after that.
        """
        self._submit_to({cpu: each.quiet_fd for cpu, each in self._rings.items()})

    def _submit_to(self, fds: Mapping[int, int]) -> None:
        self._map.update((_KEY.pack(cpu), _KEY.pack(fd)) for cpu, fd in fds.items())

    def drain(self, limit: int | None = None) -> tuple[bytes, ...]:
        """Take what the rings hold now, without waiting.

        Args:
            limit: about so many, as many of each ring, so that a flood leaves time for other
                work; a descriptor of `open` says that there are more. None: all.
        """
        share = None if limit is None else math.ceil(limit / max(1, len(self._rings)))
        taken = [each.read(share) for each in self._rings.values()]
        if self._more is not None:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._more)
            if any(len(samples) == share for samples in taken):
                os.eventfd_write(self._more, 1)
        return tuple(sample for samples in taken for sample in samples)
