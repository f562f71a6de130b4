"""Sockets that no packet leaves the machine by, whatever becomes of it on the way.

They belong to a cgroup whose only program, `seal`, ends what they send behind nftables. Its
directory is removed at once: cgroup and program live as long as the sockets do, where nobody
can detach it, and end with them (Linux kernel commit 4bfc0bb2c60e ("bpf: decouple the lifetime
of cgroup_bpf from cgroup itself") (in v5.3)).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess  # noqa: TID251 - a socket has the cgroup of the process that makes it
import sys
import tempfile
from pathlib import Path

from enforcer import abi
from enforcer.core.addresses import Address
from enforcer.core.probes import Fate, Sent, opening
from enforcer.edge.cgroup import CgroupHook  # noqa: TID251 - what seals them
from enforcer.edge.maps import Map  # noqa: TID251 - what the program tells
from enforcer.errors import DatapathError

PROGRAM = "seal"
# Isolated, like the compiler.
CHILD = (sys.executable, "-I", "-m", "enforcer.edge.sealed_child")
TIMEOUT_S = 30.0
KEY = struct.pack("=I", abi.SEALED_KEY)
SO_PRIORITY = 12  # asm-generic/socket.h; the socket module has it from Python 3.12 on
IP_PKTINFO = 8  # linux/in.h; the socket module has it from Python 3.15 on
_PKTINFO = struct.Struct("=i8x")  # struct in_pktinfo, whose addresses are left to the kernel
# Whose error says that no route leads there, of whatever type one is that does not.
NO_ROUTE = frozenset(
    {
        *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN),
        *(errno.EACCES, errno.EINVAL),  # of the types prohibit and blackhole
    }
)


class SealedSockets:
    """One for each family, in the network namespace of the thread that makes them.

    Args:
        program_fd: of `seal`; stays the caller's to close.
        sealed: the descriptor of its map; likewise.
        within: a directory of cgroup v2.
        priority: of the packets, by which the ruleset knows them.

    Raises:
        DatapathError: they can't be made, or what they send could leave.
    """

    def __init__(self, program_fd: int, sealed: int, within: Path, priority: int) -> None:
        self._map = Map("sealed", sealed)
        self._priority = priority
        self._sockets: dict[int, socket.socket] = {}
        try:
            directory = Path(tempfile.mkdtemp(prefix="enforcer.", dir=within))
        except OSError as exc:
            text = f'can\'t make a cgroup in "{within}": {exc.strerror}'
            raise DatapathError(text) from exc
        try:
            try:
                CgroupHook(directory, PROGRAM).attach(program_fd)
                self._sockets = _made_in(directory)
            finally:
                directory.rmdir()
            for each in self._sockets.values():
                each.setblocking(False)  # noqa: FBT003 - the socket module's own signature
                each.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, struct.pack("=I", priority))
        except OSError as exc:
            self.close()
            raise DatapathError(f"sealed sockets: {exc}") from exc

    def close(self) -> None:
        """Close them; their cgroup and its program are gone then."""
        for each in self._sockets.values():
            each.close()

    @property
    def versions(self) -> tuple[int, ...]:
        """The families that the kernel has: 4, 6."""
        return tuple(self._sockets)

    def open_connection(self, address: Address, port: int, by: int | None = None) -> Sent:
        """Send what would open a connection, and say what became of it.

        Args:
            address: where to.
            port: likewise.
            by: index of the interface to leave by, whether or not a route leads there, which
                IPv4 alone puts up with; None: whichever a route leads by.

        Raises:
            DatapathError: the kernel does not say.
        """
        before = self._seen().packets
        number = 0
        try:
            ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(by))] if by else ()
            sender, to = self._sockets[address.version], (str(address), 0)
            sender.sendmsg([opening(address, port)], ancillary, 0, to)
        except OSError as exc:
            number = exc.errno or 0
        seen = self._seen()
        if seen.packets != before:
            judged = seen.priority != self._priority
            return Sent(Fate.PASSED, seen.ifindex, seen.to.address(), judged)
        error = os.strerror(number) if number else "it is nowhere to be seen"
        if number == errno.EPERM:
            return Sent(Fate.STOPPED, error=error)
        return Sent(Fate.NO_ROUTE if number in NO_ROUTE else Fate.UNKNOWN, error=error)

    def _seen(self) -> abi.Sealed:
        return abi.Sealed.from_buffer_copy(self._map.lookup(KEY))


def _made_in(directory: Path) -> dict[int, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            try:
                child = subprocess.Popen(
                    (*CHILD, os.fspath(directory), str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError as exc:
                raise DatapathError(f"can't start {CHILD[-1]}: {exc}") from exc
        ours.settimeout(TIMEOUT_S)
        with child:
            try:
                versions, fds, _, _ = socket.recv_fds(ours, 8, 2)
            except OSError as exc:
                child.kill()
                raise DatapathError(f"{CHILD[-1]}: {exc}") from exc
            said = child.communicate()[1].decode(errors="replace").splitlines()
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003  recv_fds of Python 3.11 has no flags
    sockets = dict(zip(versions, (socket.socket(fileno=fd) for fd in fds), strict=False))
    # Where no descriptor is left they don't all come.
    if not sockets or len(sockets) < len(versions):
        for each in sockets.values():
            each.close()
        raise DatapathError(f"{CHILD[-1]}: {said[-1] if said else 'no socket'}")
    return sockets
