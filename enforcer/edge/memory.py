"""The memory of this process that nothing uses any more."""

from __future__ import annotations

import ctypes

_LIBC = ctypes.CDLL(None)


def give_back() -> None:
    """Give to the kernel what the C library keeps for later, where it can: malloc_trim(3)."""
    if hasattr(_LIBC, "malloc_trim"):  # glibc's own
        _LIBC.malloc_trim(0)
