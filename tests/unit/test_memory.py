"""Memory that nobody uses goes back to the kernel."""

from __future__ import annotations

import os
from pathlib import Path

from enforcer.edge.memory import give_back

# Beyond what Python's own allocator takes, below what the C library maps by itself.
SIZE = 2048
COUNT = 20_000


def resident() -> int:
    """Return how much of this process is in memory, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_what_was_freed_below_something_else_is_given_back() -> None:
    """What is still in use above it does not keep it."""
    blocks = [bytes([number % 256]) * SIZE for number in range(COUNT)]
    last = blocks[-1]
    blocks.clear()
    before = resident()
    give_back()
    assert before - resident() > COUNT * SIZE / 2
    assert last
