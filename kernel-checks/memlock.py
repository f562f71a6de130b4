"""The limit of locked memory, which maps and programs once counted against.

Before Linux kernel commit 97306be45fbe ("Merge branch 'switch to memcg-based memory accounting'")
(in v5.11), they did, and above RLIMIT_MEMLOCK (64 kB mostly, 8 MB since 5.16) the answer is EPERM.
enforcer lifts the limit, which takes CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import resource

from . import bpfcall, scratch
from .result import Outcome, Result

ID = "memlock"
# What the largest of the programs' maps takes.
_ENTRIES, _KEY, _VALUE = 65536, 24, 8


def check() -> Result:
    """Say whether the limit can be lifted, or else whether a large map fits below it."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    bpfcall.lift_memory_lock_limit()
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return Result(ID, Outcome.SUPPORTED, "no limit, or one that can be lifted")
    limit = f"{soft >> 10} kB that can't be lifted"
    try:
        bpfcall.create_map("LRU hash", bpfcall.LRU_HASH, _KEY, _VALUE, _ENTRIES)
    except bpfcall.Refused as exc:
        detail = f"a limit of {limit}, and a map of {_ENTRIES} entries: {exc.strerror}"
        remedy = "raise it (LimitMEMLOCK=infinity in the unit), or give CAP_SYS_RESOURCE"
        return Result(ID, Outcome.INCONCLUSIVE, detail, remedy)
    return Result(ID, Outcome.SUPPORTED, f"a limit of {limit}, but not for maps")
