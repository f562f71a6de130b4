"""The program that ends probes of the ruleset behind it, and the raw sockets that send them.

cgroup_skb programs came with Linux kernel commit 3007098494be ("cgroup: add support for eBPF
programs") (in v4.10) and need CONFIG_CGROUP_BPF. They have bpf_skb_load_bytes since.
"""

from __future__ import annotations

import socket

from . import bpfcall, scratch
from .bpfcall import STACK, add, call, copy, leave, load_word, move
from .result import Outcome, Result

ID = "bpf-seal"
FIRST_RELEASE = (4, 10)

_OPTIONS = "CONFIG_CGROUP_BPF"
# linux/bpf.h: offset in struct __sk_buff
_PRIORITY = 32
_CODE = (
    copy(6, 1)
    + load_word(2, 6, _PRIORITY)
    + move(2, 16)
    + copy(3, STACK)
    + add(3, -16)
    + move(4, 16)
    + call(26)  # bpf_skb_load_bytes
    + leave(0)
)


def check() -> Result:
    """Load one with its helper, attach it to a scratch cgroup, and make the sockets."""
    return scratch.in_cgroup(ID, _probe)


def _probe(directory: int) -> Result:
    bpfcall.lift_memory_lock_limit()
    name = "of type cgroup_skb"
    try:
        program = bpfcall.load(name, bpfcall.CGROUP_SKB, _CODE, bpfcall.CGROUP_EGRESS)
        bpfcall.attach(name, directory, program, bpfcall.CGROUP_EGRESS)
    except bpfcall.Refused as exc:
        return exc.as_result(ID, _OPTIONS)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW):
        detail = "cgroup_skb programs on a cgroup, and raw sockets to try the ruleset"
        return Result(ID, Outcome.SUPPORTED, detail)
