"""The script that accepts connections to every address of the world.

Those to one port are closed at once, on the other everything that comes is sent back.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

from chaos.kinds import LIVE_PORT, PORT

_BACKLOG = 4096  # net.core.somaxconn, which bounds it


def listening(port: int) -> socket.socket:
    """Return a socket that accepts connections to *port* of any address."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(_BACKLOG)
    listener.settimeout(0)
    return listener


def echo(sock: socket.socket) -> bool:
    """Send back what has come; return whether the connection goes on."""
    try:
        return bool((data := sock.recv(64)) and sock.send(data))
    except BlockingIOError:
        return True
    except OSError:
        return False


class Server:
    """Accepts and echoes."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._closing, self._echoing = listening(PORT), listening(LIVE_PORT)
        for listener in (self._closing, self._echoing):
            self._selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Do so for ever."""
        while True:
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock in {self._closing, self._echoing}:
                    self._accept(sock)
                elif not echo(sock):
                    self._selector.unregister(sock)
                    sock.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            while True:
                sock, _ = listener.accept()
                if listener is self._closing:
                    sock.close()
                else:
                    sock.settimeout(0)
                    self._selector.register(sock, selectors.EVENT_READ)
        except OSError:  # none waits, or it was reset meanwhile
            return


def main() -> None:
    """Serve until killed."""
    os.nice(-5)
    server = Server()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve()


if __name__ == "__main__":
    main()
