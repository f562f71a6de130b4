"""The script that sends UDP datagrams, from a resolver's address if told, at a rate.

One system call sends 64 of them (UDP_SEGMENT); the caller sees to it that the
device takes no such bundles, so that each crosses it as a packet of its own.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time

from tests.lab.client import query

SEGMENTS = 64  # UDP_MAX_SEGMENTS was that before Linux 6.8
UDP_SEGMENT = 103  # linux/udp.h, an option of level IPPROTO_UDP
NOTHING_DUE_S = 0.0001
KINDS = ("answer", "other")


def payload(kind: str) -> bytes:
    """Return an answer for a name of no policy, or as many bytes that are no DNS."""
    answer = bytearray(query(7, "www.elsewhere.test", 1))
    answer[2:4] = b"\x81\x80"
    answer[7] = 1
    answer += bytes.fromhex("c00c00010001000000ff0004c6120101")
    return bytes(answer) if kind == "answer" else bytes(len(answer))


def main() -> None:
    """Send until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("destination")
    parser.add_argument("--source-port", type=int, default=53)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0, help="packets a second; 0: all it can")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    options = parser.parse_args()
    one = payload(options.kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Beside the responder, whose queries go on reaching it: this one is connected.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(one))
        sock.bind((options.source, options.source_port))
        sock.connect((options.destination, options.port))
        bundle = one * SEGMENTS
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        start, sent = time.perf_counter(), 0
        while True:
            if options.rate and sent > (time.perf_counter() - start) * options.rate:
                time.sleep(NOTHING_DUE_S)
                continue
            try:
                sock.send(bundle)
            except OSError:  # an ICMP error, or no room for a moment
                continue
            sent += SEGMENTS


if __name__ == "__main__":
    main()
