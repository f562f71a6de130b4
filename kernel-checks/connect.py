"""Programs where connections begin: those that note the process, and that refuse in a silent tier.

sock_addr programs came with Linux kernel commit d74bad4e74ee ("bpf: Hooks for sys_connect") (in
v4.17) and need CONFIG_CGROUP_BPF. Enforcement is the same without them. The helpers that they
call came with f318903c0bf4 ("bpf: Add netns cookie and enable it for bpf cgroup hooks") and those
beside it, such as "bpf: Enable perf event rb output for bpf cgroup progs" (in v5.7).
"""

from __future__ import annotations

from . import bpfcall, scratch
from .bpfcall import STACK, add, call, copy, leave, move, output, store_double
from .result import Outcome, Result

ID = "bpf-connect"
FIRST_RELEASE = (5, 7)

_OPTIONS = "CONFIG_CGROUP_BPF, from Linux 5.7 on: until then processes are not told"


def check() -> Result:
    """Load one with all helpers, and attach it to a scratch cgroup."""
    return scratch.in_cgroup(ID, _probe)


def _code(events: int) -> bytes:
    return (
        copy(6, 1)
        + call(46)  # bpf_get_socket_cookie
        + copy(1, 6)
        + call(122)  # bpf_get_netns_cookie
        + call(80)  # bpf_get_current_cgroup_id
        + call(14)  # bpf_get_current_pid_tgid
        + call(15)  # bpf_get_current_uid_gid
        + store_double(-24, 0)
        + store_double(-16, 0)
        + copy(1, STACK)
        + add(1, -24)
        + move(2, 16)
        + call(16)  # bpf_get_current_comm
        + output(events)
        + leave(1)
    )


def _probe(directory: int) -> Result:
    bpfcall.lift_memory_lock_limit()
    name = "of type sock_addr"
    try:
        events = bpfcall.create_map("perf event array", bpfcall.PERF_EVENT_ARRAY, 4, 4)
        hook = bpfcall.CGROUP_CONNECT4
        program = bpfcall.load(name, bpfcall.SOCK_ADDR, _code(events), hook)
        bpfcall.attach(name, directory, program, hook)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, _OPTIONS)
    return Result(ID, Outcome.SUPPORTED, "connect programs on a cgroup, with their helpers")
