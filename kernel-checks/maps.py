"""The types of BPF maps that the programs share.

Hash maps came with Linux kernel commit 0f8e4bd8a1fc (in v3.19), arrays with 28fbcfa08d8e (in
v3.19), perf event arrays with ea317b267e9d (in v4.3), per-CPU arrays with a10423b87a7e and maps
that grow by the element with 6c9059817432 (in v4.6), LRU hash maps with 29ba732acbee (in v4.10),
LPM tries with b95a5c4db09b (in v4.11). None has an option of its own.
"""

from __future__ import annotations

from . import bpfcall, scratch
from .result import Outcome, Result

ID = "bpf-maps"
FIRST_RELEASE = (4, 11)

# Type, octets of a key and of a value, flags: an LPM trie takes BPF_F_NO_PREALLOC, and no
# longer key (LPM_DATA_SIZE_MAX).
_MAPS = {
    "hash": (bpfcall.HASH, 4, 4, 0),
    "hash that grows": (bpfcall.HASH, 4, 4, bpfcall.NO_PREALLOC),
    "array": (bpfcall.ARRAY, 4, 4, 0),
    "perf event array": (bpfcall.PERF_EVENT_ARRAY, 4, 4, 0),
    "per-CPU array": (bpfcall.PERCPU_ARRAY, 4, 8, 0),
    "LRU hash": (bpfcall.LRU_HASH, 4, 4, 0),
    "LPM trie": (bpfcall.LPM_TRIE, 260, 4, bpfcall.NO_PREALLOC),
}


def check() -> Result:
    """Say whether a map of each type can be created."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    bpfcall.lift_memory_lock_limit()
    try:
        for name, (kind, key, value, flags) in _MAPS.items():
            bpfcall.create_map(name, kind, key, value, flags=flags)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, "CONFIG_BPF_SYSCALL=y, from Linux 4.11 on")
    return Result(ID, Outcome.SUPPORTED, ", ".join(_MAPS))
