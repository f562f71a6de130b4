"""The script that asks names and waits until the sets hold the exact elements.

Exact: the host as comment and the answer's own lifetime, not the minute that the
packet path gives. It hears of them from the kernel (NFNLGRP_NFTABLES), so nothing
is polled; the clock starts when the answer has been received.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import time
from collections.abc import Iterator

from tests.lab.client import query

NETLINK_NETFILTER = 12
GROUP_NFTABLES = 1 << (7 - 1)  # linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES
SO_RCVBUFFORCE = 33
NEWSETELEM = 10 << 8 | 12  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWSETELEM
NESTED = 1 << 15
LIST_ELEMENTS, LIST_ELEMENT = 3, 1
KEY, TIMEOUT, USERDATA = 1, 4, 6  # enum nft_set_elem_attributes
PATIENCE_S = 2.0
MISSING_MAX = 20  # more of them tell nothing new


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each netlink attribute in *data*."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        yield kind & ~NESTED, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def elements(data: bytes) -> Iterator[dict[int, bytes]]:
    """Yield the attributes of each element that *data*, netlink messages, says was added."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if kind == NEWSETELEM:
            for part, listed in attributes(data[offset + 20 : offset + length]):
                if part == LIST_ELEMENTS:
                    for item, content in attributes(listed):
                        if item == LIST_ELEMENT:
                            yield dict(attributes(content))
        offset += (length + 3) & ~3


def is_exact(element: dict[int, bytes], address: bytes, name: str, lifetime_s: int) -> bool:
    """Tell whether *element* is that of *address* with the host and lifetime it should have."""
    if address not in element.get(KEY, b"") or name.encode() not in element.get(USERDATA, b""):
        return False
    timeout_ms = int.from_bytes(element.get(TIMEOUT, b""), "big")
    # A little of it has passed already, and ends are written to the second, upwards.
    return (lifetime_s - PATIENCE_S) * 1000 <= timeout_ms <= (lifetime_s + 1) * 1000


def came(netlink: socket.socket, since: float, address: bytes, name: str, lifetime_s: int) -> bool:
    """Wait for the exact element of *address*; tell whether it came in time."""
    while time.perf_counter() - since < PATIENCE_S:
        try:
            data = netlink.recv(1 << 18)
        except TimeoutError:
            break
        if any(is_exact(element, address, name, lifetime_s) for element in elements(data)):
            return True
    return False


def main() -> None:
    """Ask as the arguments say; print the seconds of each element, and how many never came."""
    parser = argparse.ArgumentParser()
    parser.add_argument("resolver")
    parser.add_argument("zone")
    parser.add_argument("--label", default="n")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--lifetime", type=int, required=True, help="seconds")
    options = parser.parse_args()
    delays_s, missing = [], 0
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        netlink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        netlink.settimeout(PATIENCE_S)
        netlink.bind((0, GROUP_NFTABLES))
        udp.settimeout(PATIENCE_S)
        udp.connect((options.resolver, 53))
        for number in range(options.count):
            name = f"{options.label}{number}.{options.zone}"
            udp.send(query(number & 0xFFFF, name, 1))
            address = udp.recv(512)[-4:]
            answered = time.perf_counter()
            if came(netlink, answered, address, name, options.lifetime):
                delays_s.append(time.perf_counter() - answered)
            else:
                missing += 1
            if missing == MISSING_MAX:
                break
    json.dump({"delays_s": delays_s, "missing": missing}, sys.stdout)


if __name__ == "__main__":
    main()
