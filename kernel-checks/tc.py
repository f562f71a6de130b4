"""Programs on clsact: those that read DNS on its way, and mark what containers begin.

sched_cls programs came with Linux kernel commit 96be4325f443 ("ebpf: add sched_cls_type and
map it to sk_filter's verifier ops") (in v4.1) and need CONFIG_NET_CLS_BPF; direct action with
045efa82ff56 ("cls_bpf: introduce integrated actions") (in v4.4). Of the helpers,
bpf_perf_event_output is there from a43eec304259 (in v4.4), bpf_get_socket_uid from 6acc5c291068
(in v4.12), bpf_skb_pull_data from 36bbef52c7eb (in v4.9), bpf_skb_load_bytes_relative from
4e1ec56cdc59 ("bpf: add skb_load_bytes_relative helper") (in v4.18).
"""

from __future__ import annotations

import errno
import socket
import struct

from . import bpfcall, clsact, netlink, scratch
from .bpfcall import STACK, add, call, copy, leave, move, output
from .netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, attribute
from .result import Outcome, Result

ID = "bpf-tc"
FIRST_RELEASE = (4, 18)

_OPTIONS = "CONFIG_NET_CLS_BPF, from Linux 4.18 on"
# linux/rtnetlink.h, pkt_sched.h, pkt_cls.h
_RTM_NEWTFILTER = 44
_INGRESS = 0xFFFFFFF2  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
_ALL, _PRIORITY = 3, 1 << 16  # ETH_P_ALL, in network byte order below
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS = 6, 7, 8
_DIRECT_ACTION = 1
_UNSPEC = -1


def check() -> Result:
    """Load one with all helpers, and attach it to the loopback of a scratch namespace."""
    return scratch.in_network(ID, _probe)


def _code(events: int) -> bytes:
    return (
        copy(6, 1)
        + move(2, 64)
        + call(39)  # bpf_skb_pull_data
        + copy(1, 6)
        + move(2, 0)
        + copy(3, STACK)
        + add(3, -16)
        + move(4, 16)
        + move(5, 1)  # BPF_HDR_START_NET
        + call(68)  # bpf_skb_load_bytes_relative
        + copy(1, 6)
        + call(47)  # bpf_get_socket_uid
        + call(5)  # bpf_ktime_get_ns
        + output(events)
        + leave(_UNSPEC)
    )


def _probe() -> Result:
    bpfcall.lift_memory_lock_limit()
    try:
        events = bpfcall.create_map("perf event array", bpfcall.PERF_EVENT_ARRAY, 4, 4)
        program = bpfcall.load("of type sched_cls", bpfcall.SCHED_CLS, _code(events))
    except bpfcall.Refused as exc:
        return exc.as_result(ID, _OPTIONS)
    loopback = socket.if_nametoindex("lo")
    for request in (clsact.request(loopback), _request(loopback, program)):
        number = netlink.ask(socket.NETLINK_ROUTE, request)
        if number in {errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL}:
            detail = f"no program can be attached to clsact: {netlink.why(number)}"
            return Result(ID, Outcome.UNSUPPORTED, detail, f"use a kernel with {_OPTIONS}")
        if number:
            return scratch.inconclusive(ID, OSError(number, netlink.why(number)))
    return Result(ID, Outcome.SUPPORTED, "programs on clsact, with the helpers they call")


def _request(interface: int, program: int) -> bytes:
    options = (
        attribute(_TCA_BPF_FD, struct.pack("=I", program))
        + attribute(_TCA_BPF_NAME, b"enforcer_check\0")
        + attribute(_TCA_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
    )
    info = _PRIORITY | socket.htons(_ALL)
    body = clsact.TCMSG.pack(socket.AF_UNSPEC, 0, interface, 0, _INGRESS, info)
    body += attribute(_TCA_KIND, b"bpf\0") + attribute(_TCA_OPTIONS, options)
    return netlink.message(_RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body)
