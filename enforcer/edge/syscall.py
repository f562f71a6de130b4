"""System calls that libc has no wrapper for: bpf(2) and perf_event_open(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Call:
    """A system call, and its number on each machine (the kernel's syscall tables)."""

    name: str
    x86_64: int
    aarch64: int
    riscv64: int
    ppc64le: int
    s390x: int


BPF = Call("bpf", x86_64=321, aarch64=280, riscv64=280, ppc64le=361, s390x=351)
PERF_EVENT_OPEN = Call(
    "perf_event_open", x86_64=298, aarch64=241, riscv64=241, ppc64le=319, s390x=331
)


def syscall(call: Call, *arguments: object) -> int:
    """Make *call* and return its result.

    Args:
        call: which one.
        arguments: what ctypes passes to C: integers of its types, structures by reference.

    Raises:
        OSError: it failed.
    """
    number = getattr(call, platform.machine(), None)
    if number is None:
        raise OSError(errno.ENOSYS, f"{call.name}(2) is unknown on {platform.machine()}")
    result = int(_LIBC.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
