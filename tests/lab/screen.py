"""What a command writes to a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import termios

from tests.lab.namespace import Namespace

ROWS = 50
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def written(namespace: Namespace, *argv: str, columns: int) -> str:
    """Return what *argv* writes in *namespace*, with its escape sequences."""
    terminal, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    env = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    found = b""
    with namespace.popen(*argv, stdout=slave, env=env):
        os.close(slave)
        with contextlib.suppress(OSError):  # EIO at the end
            while more := os.read(terminal, 4096):
                found += more
    os.close(terminal)
    return found.decode().replace("\r\n", "\n")


def on_a_terminal(namespace: Namespace, *argv: str, columns: int) -> list[str]:
    """Return the lines that *argv* writes in *namespace*, as people read them."""
    return _ESCAPES.sub("", written(namespace, *argv, columns=columns)).splitlines()
