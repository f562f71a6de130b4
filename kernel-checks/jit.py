"""The JIT compiler: without it programs are interpreted, for each packet and connection.

It came with Linux kernel commit 622582786c9e ("net: filter: x86: internal BPF JIT") (in v3.16),
on other architectures later, and needs CONFIG_BPF_JIT. net.core.bpf_jit_enable turns it off, but
for kernels with CONFIG_BPF_JIT_ALWAYS_ON, which came with 290af86629b2 ("bpf: introduce
BPF_JIT_ALWAYS_ON config") (in v4.15).
"""

from __future__ import annotations

from . import bpfcall, scratch
from .result import Outcome, Result

ID = "bpf-jit"
FIRST_RELEASE = (4, 13)  # of what a program is asked: dc4bb0e23561

_REMEDY = "sysctl net.core.bpf_jit_enable=1, or use a kernel with CONFIG_BPF_JIT"


def check() -> Result:
    """Say whether a program that was loaded is one of the machine's instructions."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    bpfcall.lift_memory_lock_limit()
    try:
        program = bpfcall.load("that does nothing", bpfcall.SCHED_CLS, bpfcall.leave(0))
        size = bpfcall.compiled_size(program)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, "CONFIG_BPF_SYSCALL=y")
    if size:
        return Result(ID, Outcome.SUPPORTED, "programs are compiled")
    detail = "programs are interpreted, which takes several times as long"
    return Result(ID, Outcome.UNSUPPORTED, detail, _REMEDY)
