"""Ask for permitted names as fast as one process can, and read no answer; a script.

Standard library only. Prints a line when it begins; ends when it is told to.
"""

from __future__ import annotations

import os
import socket
import sys

FIRST_SUBUID = 0x20000  # of a block of 65,536, as subuid(5) gives them
_SOCKETS = 16  # with a port each, for 65,536 ids


def main(resolver: str, zone: str, cpu: str, users: str) -> None:
    """Ask *resolver* for names below *zone*, on *cpu*, as each of *users* if there are any."""
    os.sched_setaffinity(0, {int(cpu)})
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    labels = b"".join(bytes([len(label)]) + label.encode() for label in zone.split("."))
    question = b"\1\0\0\1\0\0\0\0\0\0\5flood" + labels + b"\0\0\1\0\1"
    wires = [number.to_bytes(2, "big") + question for number in range(0x10000)]
    asking = []
    for number in range(max(_SOCKETS, int(users))):
        if int(users):
            os.seteuid(FIRST_SUBUID + number)  # a socket is its maker's
        asking.append(socket.socket(family, socket.SOCK_DGRAM))
        if int(users):
            os.seteuid(0)
    print("asking", flush=True)  # noqa: T201 - the test waits for it
    while True:
        for wire in wires:
            # Not connected: what comes back does not become an error of the next.
            for sock in asking:
                sock.sendto(wire, (resolver, 53))


if __name__ == "__main__":
    main(*sys.argv[1:])
