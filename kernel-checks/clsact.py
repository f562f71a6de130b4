"""clsact: the queueing discipline that the tc programs are attached to.

It came with Linux kernel commit 1f211a1b929c ("net, sched: add clsact qdisc") (in v4.5) and
needs CONFIG_NET_SCH_INGRESS. The probe adds one to the loopback of a scratch namespace.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from . import scratch
from .result import Outcome, Result

ID = "clsact"
FIRST_RELEASE = (4, 5)

# linux/netlink.h, linux/rtnetlink.h, linux/pkt_sched.h
_NLMSG_ERROR = 2
_RTM_NEWQDISC = 36
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
_TC_H_CLSACT = 0xFFFFFFF1
_TCA_KIND = 1
_HEADER = struct.Struct("=LHHLL")  # length, type, flags, sequence, port
_TCMSG = struct.Struct("=BxHiLLL")  # family, interface, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")  # length, type; padded to four bytes
_ANSWER_TIMEOUT_S = 5.0


def request(interface: int) -> bytes:
    """Return the netlink message that adds clsact to the interface of this index."""
    kind = b"clsact\0"
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(kind), _TCA_KIND) + kind
    attribute += bytes(-len(attribute) % 4)
    body = _TCMSG.pack(socket.AF_UNSPEC, 0, interface, 0xFFFF0000, _TC_H_CLSACT, 0) + attribute
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL
    return _HEADER.pack(_HEADER.size + len(body), _RTM_NEWQDISC, flags, 1, 0) + body


def judge(code: int) -> Result:
    """Say what the kernel's answer (0 or an errno) to the request means."""
    if code == 0:
        return Result(ID, Outcome.SUPPORTED, "added to an interface of a scratch namespace")
    # ENOENT: no such discipline. EOPNOTSUPP: no traffic control at all.
    if code in (errno.ENOENT, errno.EOPNOTSUPP):
        detail = f"the kernel has no clsact: {os.strerror(code)}"
        remedy = "use a kernel with CONFIG_NET_SCH_INGRESS, or `modprobe sch_ingress`"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return scratch.inconclusive(ID, OSError(code, os.strerror(code)))


def check() -> Result:
    """Say whether clsact can be added to an interface."""
    return scratch.in_network(ID, _probe)


def _probe() -> Result:
    loopback = socket.if_nametoindex("lo")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_ANSWER_TIMEOUT_S)
        netlink.send(request(loopback))
        answer = netlink.recv(4096)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _NLMSG_ERROR:
        return Result(ID, Outcome.INCONCLUSIVE, f"netlink answered with a message of type {kind}")
    (code,) = struct.unpack_from("=i", answer, _HEADER.size)
    return judge(-code)
