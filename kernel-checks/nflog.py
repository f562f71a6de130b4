"""nfnetlink_log: how user space hears of denied packets.

It came with Linux kernel commit 0597f2680d66 (in v2.6.14) and needs CONFIG_NETFILTER_NETLINK_LOG.
The probe listens to a group in a scratch namespace.
"""

from __future__ import annotations

import errno
import struct

from . import netlink, scratch
from .netlink import NETLINK_NETFILTER, NLM_F_ACK, attribute
from .result import Outcome, Result

ID = "nflog"
FIRST_RELEASE = (2, 6)

# linux/netfilter/nfnetlink.h, nfnetlink_log.h
_CONFIG = 4 << 8 | 1  # NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG
_CMD, _BIND = 1, b"\1"
_GROUP = 1


def check() -> Result:
    """Say whether a group can be listened to."""
    return scratch.in_network(ID, _probe)


def _probe() -> Result:
    body = struct.pack(">BBH", 0, 0, _GROUP) + attribute(_CMD, _BIND)
    try:
        number = netlink.ask(NETLINK_NETFILTER, netlink.message(_CONFIG, NLM_F_ACK, body))
    except OSError as exc:
        if exc.errno != errno.EPROTONOSUPPORT:
            raise
        number = errno.EPROTONOSUPPORT
    if number == 0:
        return Result(ID, Outcome.SUPPORTED, "denied packets can be listened to")
    if number in {errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT}:
        detail = f"no log to listen to: {netlink.why(number)}: who was denied what is not recorded"
        remedy = "use a kernel with CONFIG_NETFILTER_NETLINK_LOG, or `modprobe nfnetlink_log`"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return scratch.inconclusive(ID, OSError(number, netlink.why(number)))
