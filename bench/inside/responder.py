"""The script that answers DNS queries in the world, as fast as Python can.

Standard library only, and a template in place of a DNS library: its cost is in
every figure of every variant. Each A or AAAA query below FRESH gets an address
never given before, or MANY of them if its first label says so; other names share
1,024 addresses, as names behind a CDN do.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import struct
import sys
import zlib

FRESH = b"\x05bench\x04test\0"
MANY_LABEL = b"many"
MANY = 64
SHARED = 1024
TTL_S = 3600
HEADER = b"\x81\x80\0\1"  # QR, RD, RA; one question (RFC 1035 section 4.1.1)
POINTER = b"\xc0\x0c"  # to the question's name (RFC 1035 section 4.1.4)
SIZES = {b"\0\1": 4, b"\0\x1c": 16}  # of A and AAAA addresses
# 198.19.0.0/16 and its like: 65,536 addresses, then from the start again.
FRESH_V4, SHARED_V4 = 0xC6130000, 0xC612FC00
V6 = bytes.fromhex("20010db8f4e5") + bytes(6)


def record(kind: bytes, number: int, *, fresh: bool) -> bytes:
    """Return one address record of *kind* that belongs to the question's name."""
    if kind == b"\0\1":
        base = FRESH_V4 if fresh else SHARED_V4
        address = (base + (number & 0xFFFF)).to_bytes(4, "big")
    else:
        address = V6 + (number & 0xFFFF | (0 if fresh else 1 << 31)).to_bytes(4, "big")
    return POINTER + kind + struct.pack("!HIH", 1, TTL_S, len(address)) + address


def respond(query: bytes, serial: dict[bytes, itertools.count[int]]) -> bytes:
    """Return the answer to *query*, which has one question."""
    end = query.index(0, 12) + 1
    kind, name = query[end : end + 2], query[12:end]
    records: tuple[bytes, ...] = ()
    if kind in SIZES and name.endswith(FRESH):
        many = MANY if query.startswith(MANY_LABEL, 13) else 1
        records = tuple(record(kind, next(serial[kind]), fresh=True) for _ in range(many))
    elif kind in SIZES:
        records = (record(kind, zlib.crc32(name) % SHARED, fresh=False),)
    count = len(records).to_bytes(2, "big")
    return query[:2] + HEADER + count + b"\0\0\0\0" + query[12 : end + 4] + b"".join(records)


def main() -> None:
    """Answer on the UDP port 53 of one address until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--first", type=int, default=0, help="number of the first fresh address")
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        # The generator of floods sends from the same address and port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((options.address, 53))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        serial = {kind: itertools.count(options.first) for kind in SIZES}
        while True:
            query, client = sock.recvfrom(4096)
            sock.sendto(respond(query, serial), client)


if __name__ == "__main__":
    main()
