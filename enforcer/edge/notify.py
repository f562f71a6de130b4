"""Messages to the service manager (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"


def notifies() -> bool:
    """Tell whether a service manager listens."""
    return bool(os.environ.get(VARIABLE))


def watchdog_s() -> float | None:
    """Return how many seconds without ``WATCHDOG=1`` are too long for it; None: any are fine.

    As sd_watchdog_enabled(3) does.
    """
    if os.environ.get("WATCHDOG_PID") not in {None, str(os.getpid())}:
        return None
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    return int(limit_us) / 1e6 if limit_us.isascii() and limit_us.isdigit() else None


def notify(message: str) -> None:
    """Send *message*, such as ``READY=1``, where the service manager listens, if one does."""
    address = os.environ.get(VARIABLE)
    if not address:
        return
    if address.startswith("@"):  # abstract, in systemd's spelling
        address = "\0" + address[1:]
    # Nobody reads, or no descriptor is left: not worth stopping a firewall for.
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        # A name of the kernel's may be no UTF-8, which systemd takes alone.
        sock.sendto(message.encode(errors="backslashreplace"), address)
