"""The script that accepts connections to every address of the world.

The kernel completes handshakes by itself; they are taken from the queue and
closed many at a time, and only while nothing else wants the CPU, so that none of
it is in what is measured.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

PORT = 443
BACKLOG = 4096  # net.core.somaxconn, which bounds it
EVERY_S = 0.02


def main() -> None:
    """Accept and close connections until killed."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", PORT))
        listener.listen(BACKLOG)
        listener.settimeout(0)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        pause = threading.Event()
        while True:
            try:
                listener.accept()[0].close()
            except OSError:  # none waits, or it was reset meanwhile
                pause.wait(EVERY_S)


if __name__ == "__main__":
    main()
