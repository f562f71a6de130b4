"""A tunnel between two namespaces: tun devices, which have no Ethernet header, and a relay."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import struct
import threading
from collections.abc import Iterator

from tests.lab.namespace import Namespace

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET_MAX = 1 << 16


@contextlib.contextmanager
def tunnel(one: Namespace, other: Namespace, name: str = "tun0") -> Iterator[None]:
    """Make a tun device called *name* in both; packets into one come out of the other."""
    ends = [each.call(lambda: _open(name)) for each in (one, other)]
    stop, stopped = os.pipe()
    relay = threading.Thread(target=_relay, args=(ends, stop))
    relay.start()
    try:
        yield
    finally:
        os.close(stopped)
        relay.join()
        for descriptor in (*ends, stop):
            os.close(descriptor)


def _open(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


def _relay(ends: list[int], stop: int) -> None:
    with selectors.DefaultSelector() as selector:
        for descriptor in (*ends, stop):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == stop:
                    return
                out = ends[1 - ends.index(key.fd)]
                # A device that is down takes and gives nothing.
                with contextlib.suppress(BlockingIOError, OSError):
                    while True:
                        os.write(out, os.read(key.fd, _PACKET_MAX))
