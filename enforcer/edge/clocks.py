"""The kernel's clocks as this process sees them."""

from __future__ import annotations

import functools
import time
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")


@functools.cache
def ahead_s() -> float:
    """Return by how many seconds this process's CLOCK_MONOTONIC is ahead of the kernel's own.

    Not 0 in a time namespace (time_namespaces(7)) that some containers and restored
    processes have; BPF programs have the kernel's clock. It is the same as long as a
    process lives.
    """
    try:
        lines = _OFFSETS.read_text("ascii").splitlines()
    except OSError:  # before Linux 5.6 there are none
        return 0.0
    offsets = {name: int(seconds) + int(ns) / 1e9 for name, seconds, ns in map(str.split, lines)}
    return offsets.get("monotonic", 0.0)


def wall_ahead_s() -> float:
    """Return by how much the wall clock is ahead of one that nobody sets.

    That one goes on while the machine is suspended, as the wall clock does.
    """
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
