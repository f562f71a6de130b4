"""Messages to the service manager (sd_notify(3))."""

from __future__ import annotations

import os
import socket

VARIABLE = "NOTIFY_SOCKET"


def notify(message: str) -> None:
    """Send *message*, such as ``READY=1``, where the service manager listens, if one does."""
    address = os.environ.get(VARIABLE)
    if not address:
        return
    if address.startswith("@"):  # abstract, in systemd's spelling
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(message.encode(), address)
        except OSError:
            # Nobody reads: not worth stopping a firewall for.
            return
