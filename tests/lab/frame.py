"""Sending frames on an interface, past everything that looks at IP packets.

Also the script that does it inside a namespace: standard library only.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

_USER = 4711


def send_frame(
    namespace: Namespace, interface: str, frame: bytes, *, capability: str
) -> tuple[int, str]:
    """Send *frame* out of *interface* as a user whose only capability is *capability*.

    Returns: the exit status, and what was said on standard error.
    """
    # Reading is for the project's files, wherever they are installed.
    caps = f"-all,+dac_read_search,+{capability}"
    done = namespace.run(
        "setpriv",
        f"--reuid={_USER}",
        f"--regid={_USER}",
        "--clear-groups",
        f"--bounding-set={caps}",
        f"--inh-caps={caps}",
        f"--ambient-caps={caps}",
        sys.executable,
        __file__,
        interface,
        frame.hex(),
        check=False,
    )
    return done.returncode, done.stderr


def main(interface: str, frame: str) -> None:
    """Send it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        sock.send(bytes.fromhex(frame))


if __name__ == "__main__":
    main(*sys.argv[1:])
