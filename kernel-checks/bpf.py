"""bpf(2): whether this process may load anything at all.

It came with Linux kernel commit 99c55f7d47c0 ("bpf: introduce BPF syscall and maps") (in v3.18)
and needs CONFIG_BPF_SYSCALL.
"""

from __future__ import annotations

from . import bpfcall, scratch
from .result import Outcome, Result

ID = "bpf"
FIRST_RELEASE = (3, 18)
_OPTIONS = "CONFIG_BPF_SYSCALL=y"


def check() -> Result:
    """Say whether a map can be created and the shortest program loaded."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    bpfcall.lift_memory_lock_limit()
    try:
        bpfcall.create_map("hash", bpfcall.HASH, 4, 4)
        bpfcall.load("that does nothing", bpfcall.SOCKET_FILTER, bpfcall.leave(0))
    except bpfcall.Refused as exc:
        return exc.as_result(ID, _OPTIONS)
    return Result(ID, Outcome.SUPPORTED, "maps and programs can be loaded")
