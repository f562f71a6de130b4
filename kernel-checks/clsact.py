"""clsact: the queueing discipline that the tc programs are attached to.

It came with Linux kernel commit 1f211a1b929c ("net, sched: add clsact qdisc") (in v4.5) and
needs CONFIG_NET_SCH_INGRESS. The probe adds one to the loopback of a scratch namespace.
"""

from __future__ import annotations

import errno
import socket
import struct

from . import netlink, scratch
from .netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, attribute
from .result import Outcome, Result

ID = "clsact"
FIRST_RELEASE = (4, 5)

# linux/rtnetlink.h, linux/pkt_sched.h
_RTM_NEWQDISC = 36
_TC_H_CLSACT, _HANDLE = 0xFFFFFFF1, 0xFFFF0000
_TCA_KIND = 1
TCMSG = struct.Struct("=BxHiLLL")  # family, interface, handle, parent, info


def request(interface: int) -> bytes:
    """Return the netlink message that adds clsact to the interface of this index."""
    body = TCMSG.pack(socket.AF_UNSPEC, 0, interface, _HANDLE, _TC_H_CLSACT, 0)
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    return netlink.message(_RTM_NEWQDISC, flags, body + attribute(_TCA_KIND, b"clsact\0"))


def judge(code: int) -> Result:
    """Say what the kernel's answer (0 or an errno) to the request means."""
    if code == 0:
        return Result(ID, Outcome.SUPPORTED, "added to an interface of a scratch namespace")
    # ENOENT: no such discipline. EOPNOTSUPP: no traffic control at all.
    if code in (errno.ENOENT, errno.EOPNOTSUPP):
        detail = f"the kernel has no clsact: {netlink.why(code)}"
        remedy = "use a kernel with CONFIG_NET_SCH_INGRESS, or `modprobe sch_ingress`"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return scratch.inconclusive(ID, OSError(code, netlink.why(code)))


def check() -> Result:
    """Add clsact to the loopback of a network namespace made for it."""
    return scratch.in_network(ID, _probe)


def _probe() -> Result:
    return judge(netlink.ask(socket.NETLINK_ROUTE, request(socket.if_nametoindex("lo"))))
