"""The capabilities of a thread, and giving up what it does not need (capabilities(7))."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# include/uapi/linux/capability.h and prctl.h.
CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_RAW = 2, 12, 13
CAP_SYS_PTRACE, CAP_SYS_ADMIN = 19, 21
CAP_SYS_NICE, CAP_BPF = 23, 39
_VERSION_3 = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38
_LAST = Path("/proc/sys/kernel/cap_last_cap")

# nftables, tc, conntrack and attaching to cgroups; raw sockets, to prove what the ruleset does;
# what other users' processes run; the cgroup of one that has ended, by open_by_handle_at(2).
_ALWAYS = frozenset({CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH})
# bpf(2) on maps that are open.
_RUNNING = _ALWAYS | {CAP_BPF}
# Before Linux kernel commit 2c78ee898d8f ("bpf: Implement CAP_BPF") (in v5.8) it takes this one.
_RUNNING_BEFORE = _ALWAYS | {CAP_SYS_ADMIN}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    # Each of 32 capabilities.
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def limit(also: frozenset[int] = frozenset()) -> None:
    """Keep of the calling thread's capabilities those that a running daemon needs.

    Threads and processes that it starts from now on never have more: what a program is
    given on execution is cut down to them, too (no_new_privs).

    Args:
        also: capabilities that are kept besides.

    Raises:
        OSError: the kernel refuses.
    """
    known = int(_LAST.read_text("ascii"))
    wanted = (_RUNNING if known >= CAP_BPF else _RUNNING_BEFORE) | also
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_VERSION_3, 0)
    sets = (_Sets * 2)()
    _checked(libc.capget(ctypes.byref(header), sets))
    for number, each in enumerate(sets):
        mask = sum(1 << cap % 32 for cap in wanted if cap // 32 == number)
        each.permitted &= mask
        each.effective = each.permitted
        each.inheritable = 0
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(libc.capset(ctypes.byref(header), sets))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"giving up capabilities: {os.strerror(number)}")
