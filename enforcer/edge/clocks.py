"""The kernel's clock as this process sees it."""

from __future__ import annotations

import functools
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
