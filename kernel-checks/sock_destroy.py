"""Closing sockets of others: how connections end in a stateless tier.

It came with Linux kernel commit c1e64e298b8c ("net: diag: Support destroying TCP sockets.") (in
v4.5) and needs CONFIG_INET_DIAG_DESTROY and CONFIG_INET_TCP_DIAG. The probe closes a socket of
its own, in a scratch namespace.
"""

from __future__ import annotations

import errno
import socket
import struct

from . import netlink, scratch
from .netlink import NETLINK_SOCK_DIAG, NLM_F_ACK
from .result import Outcome, Result

ID = "sock-destroy"
FIRST_RELEASE = (4, 5)

# linux/sock_diag.h, inet_diag.h
_DESTROY = 21
_NO_COOKIE = b"\xff" * 8
_ANY = bytes(16)
_ALL_STATES = 0xFFFFFFFF


def check() -> Result:
    """Say whether the kernel closes a socket for whoever asks for it."""
    return scratch.in_network(ID, _probe)


def _probe() -> Result:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("", 0))
        listening.listen()
        ports = struct.pack(">HH", listening.getsockname()[1], 0)
        name = ports + _ANY + _ANY + bytes(4) + _NO_COOKIE
        about = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, _ALL_STATES)
        request = netlink.message(_DESTROY, NLM_F_ACK, about + name)
        try:
            number = netlink.ask(NETLINK_SOCK_DIAG, request)
        except OSError as exc:
            if exc.errno != errno.EPROTONOSUPPORT:
                raise
            number = errno.EPROTONOSUPPORT
    if number == 0:
        return Result(ID, Outcome.SUPPORTED, "sockets can be closed")
    if number in {errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT}:
        detail = f"sockets can't be closed: {netlink.why(number)}; matters without nft-ct only"
        remedy = "use a kernel with CONFIG_INET_DIAG_DESTROY, or `modprobe tcp_diag`"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return scratch.inconclusive(ID, OSError(number, netlink.why(number)))
