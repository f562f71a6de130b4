"""Make raw sockets in a cgroup, hand them over, and end: a process of its own.

A socket belongs to the cgroup of the process that makes it, for ever. `sealed` starts this
module, with the cgroup's directory and the descriptor of a socket as arguments.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path


def main() -> None:
    """Send the sockets, and the octets 4 and 6 for which family each of them is."""
    directory, channel_fd = sys.argv[1:]
    Path(directory, "cgroup.procs").write_text("0", encoding="ascii")  # this process
    made = {}
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        with contextlib.suppress(OSError):  # a kernel without IPv6
            made[version] = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with socket.socket(fileno=int(channel_fd)) as channel:
        socket.send_fds(channel, [bytes(made)], [each.fileno() for each in made.values()])


if __name__ == "__main__":
    main()
