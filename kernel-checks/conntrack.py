"""The table of connections: listed to end those that are not permitted any more.

ctnetlink came with Linux kernel commit c1d10adb4a52 ("[NETFILTER]: Add ctnetlink port for
nf_conntrack") (in v2.6.16) and needs CONFIG_NF_CT_NETLINK.
"""

from __future__ import annotations

import errno
import socket
import struct

from . import netlink, scratch
from .netlink import NETLINK_NETFILTER, NLM_F_DUMP
from .result import Outcome, Result

ID = "conntrack"
FIRST_RELEASE = (2, 6)

_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET


def check() -> Result:
    """Say whether connections can be listed, in a scratch namespace that has none."""
    return scratch.in_network(ID, _probe)


def _probe() -> Result:
    body = struct.pack(">BBH", socket.AF_INET, 0, 0)
    try:
        number = netlink.ask(NETLINK_NETFILTER, netlink.message(_GET, NLM_F_DUMP, body))
    except OSError as exc:
        if exc.errno != errno.EPROTONOSUPPORT:
            raise
        number = errno.EPROTONOSUPPORT
    if number == 0:
        return Result(ID, Outcome.SUPPORTED, "connections can be listed and ended")
    if number in {errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT}:
        detail = f"connections can't be listed: {netlink.why(number)}: those open before go on"
        remedy = "use a kernel with CONFIG_NF_CT_NETLINK, or `modprobe nf_conntrack_netlink`"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return scratch.inconclusive(ID, OSError(number, netlink.why(number)))
