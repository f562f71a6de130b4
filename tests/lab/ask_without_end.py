"""Ask for permitted names as fast as one process can, and read no answer; a script.

Standard library only. Prints a line when it begins; ends when it is told to.
"""

from __future__ import annotations

import os
import socket
import sys

_SOCKETS = 16  # with a port each, for 65,536 ids


def main(resolver: str, zone: str, cpu: str) -> None:
    """Ask *resolver* for names below *zone*, on *cpu*."""
    os.sched_setaffinity(0, {int(cpu)})
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    labels = b"".join(bytes([len(label)]) + label.encode() for label in zone.split("."))
    question = b"\1\0\0\1\0\0\0\0\0\0\5flood" + labels + b"\0\0\1\0\1"
    wires = [number.to_bytes(2, "big") + question for number in range(0x10000)]
    asking = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(_SOCKETS)]
    print("asking", flush=True)  # noqa: T201 - the test waits for it
    while True:
        for sock in asking:
            # Not connected: what comes back does not become an error of the next.
            for wire in wires:
                sock.sendto(wire, (resolver, 53))


if __name__ == "__main__":
    main(*sys.argv[1:])
