"""sock_ops programs on a cgroup: the one that marks first SYNs.

They came with Linux kernel commit 40304b2a1567 ("bpf: BPF support for sock_ops") (in v4.13) and
need CONFIG_CGROUP_BPF; bpf_setsockopt with 8c4b4c7e9ff0 (in v4.13), bpf_get_socket_cookie for
them with d692f1138a4b ("bpf: Support bpf_get_socket_cookie in more prog types") (in v4.18), their
socket's mark with 1314ef561102 ("bpf: export bpf_sock for BPF_PROG_TYPE_SOCK_OPS prog type") (in
v5.3).
"""

from __future__ import annotations

from . import bpfcall, scratch
from .bpfcall import (
    STACK,
    add,
    call,
    copy,
    jump_if_zero,
    leave,
    load_double,
    load_word,
    move,
    store_double,
)
from .result import Outcome, Result

ID = "bpf-sock-ops"
FIRST_RELEASE = (5, 3)

_OPTIONS = "CONFIG_CGROUP_BPF, from Linux 5.3 on"
# linux/bpf.h: offsets in struct bpf_sock_ops and struct bpf_sock
_SK, _MARK = 184, 16
_SOL_SOCKET, _SO_MARK = 1, 36

_CODE = (
    copy(6, 1)
    + call(46)  # bpf_get_socket_cookie
    + load_double(1, 6, _SK)
    + jump_if_zero(1, 1)
    + load_word(2, 1, _MARK)
    + store_double(-8, 0)
    + copy(1, 6)
    + move(2, _SOL_SOCKET)
    + move(3, _SO_MARK)
    + copy(4, STACK)
    + add(4, -8)
    + move(5, 4)
    + call(49)  # bpf_setsockopt
    + leave(1)
)


def check() -> Result:
    """Load one with all helpers, and attach it to a scratch cgroup."""
    return scratch.in_cgroup(ID, _probe)


def _probe(directory: int) -> Result:
    bpfcall.lift_memory_lock_limit()
    name = "of type sock_ops"
    try:
        program = bpfcall.load(name, bpfcall.SOCK_OPS, _CODE)
        bpfcall.attach(name, directory, program, bpfcall.CGROUP_SOCK_OPS)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, _OPTIONS)
    return Result(ID, Outcome.SUPPORTED, "sock_ops programs on a cgroup, with their helpers")
