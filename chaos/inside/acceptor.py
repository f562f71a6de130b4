"""The script that accepts connections to every address of the world, at once, and closes them."""

from __future__ import annotations

import os
import selectors
import socket
import sys

from chaos.kinds import PORT

_BACKLOG = 4096  # net.core.somaxconn, which bounds it


def main() -> None:
    """Accept and close connections until killed."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", PORT))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
        os.nice(-5)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                selector.select()
                try:
                    while True:
                        listener.accept()[0].close()
                except OSError:  # none waits, or it was reset meanwhile
                    continue


if __name__ == "__main__":
    main()
