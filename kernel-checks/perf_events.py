"""Perf events: the rings by which programs tell user space.

Output of BPF programs is a software event since Linux kernel commit a43eec304259 ("bpf: introduce
bpf_perf_event_output() helper") (in v4.4) and needs CONFIG_PERF_EVENTS.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import scratch
from .result import Outcome, Result

ID = "perf-events"
FIRST_RELEASE = (4, 4)

# From the kernel's system call tables.
_NUMBERS = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
# linux/perf_event.h: PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT, PERF_SAMPLE_RAW
_SOFTWARE, _BPF_OUTPUT, _RAW = 1, 10, 1 << 10
_SIZE = 64  # PERF_ATTR_SIZE_VER0
_CLOEXEC = 1 << 3


def check() -> Result:
    """Open the event that programs write to, on the first CPU."""
    return scratch.in_child(ID, _probe)


def _probe() -> Result:
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        detail = f'number of perf_event_open(2) not known for machine "{os.uname().machine}"'
        return Result(ID, Outcome.INCONCLUSIVE, detail)
    attributes = struct.pack("=IIQQQ", _SOFTWARE, _SIZE, _BPF_OUTPUT, 1, _RAW)
    buffer = ctypes.create_string_buffer(attributes, _SIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    cpu = min(os.sched_getaffinity(0))
    if libc.syscall(ctypes.c_long(number), buffer, -1, cpu, -1, _CLOEXEC) >= 0:
        return Result(ID, Outcome.SUPPORTED, "rings for the output of programs")
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.ENOENT, errno.EINVAL}:
        detail = f"no perf events for the output of programs: {os.strerror(code)}"
        return Result(ID, Outcome.UNSUPPORTED, detail, "use a kernel with CONFIG_PERF_EVENTS")
    return scratch.inconclusive(ID, OSError(code, os.strerror(code)))
