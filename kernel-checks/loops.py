"""Bounded loops: names and answers are read in them.

They came with Linux kernel commit 2589726d12a1 ("bpf: introduce bounded loops") (in v5.3); a
verifier before refuses them with "back-edge from insn N to M".
"""

from __future__ import annotations

from . import bpfcall, scratch
from .bpfcall import add, jump_if_less, leave, move
from .result import Outcome, Result

ID = "bpf-loops"
FIRST_RELEASE = (5, 3)

_TIMES = 100
_LOOP = move(6, 0) + add(6, 1) + jump_if_less(6, _TIMES, -2) + leave(0)


def check() -> Result:
    """Say whether the verifier takes a loop."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    bpfcall.lift_memory_lock_limit()
    try:
        bpfcall.load("with a loop", bpfcall.SCHED_CLS, _LOOP)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, "bounded loops: Linux 5.3 or newer")
    return Result(ID, Outcome.SUPPORTED, "the verifier takes bounded loops")
