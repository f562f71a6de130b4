"""The cgroup v2 hooks of our programs, and a cgroup v2 of our own where there is none."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcer.edge.bpf import (  # noqa: TID251 - its hook is one of bpf(2)
    PROG_GET_FD_BY_ID,
    ById,
    bpf,
    program_name,
)
from enforcer.errors import DatapathError

# enum bpf_cmd, enum bpf_attach_type and flags of include/uapi/linux/bpf.h.
PROG_ATTACH, PROG_DETACH, PROG_QUERY = 8, 9, 16
# By the name of the program that belongs there.
HOOKS = {
    "seal": 1,  # CGROUP_INET_EGRESS
    "connect_mark": 3,  # CGROUP_SOCK_OPS
    "judge_connect4": 10,
    "judge_connect6": 11,
    "who_connect4": 10,
    "who_connect6": 11,
    "who_sendmsg4": 14,
    "who_sendmsg6": 15,
}
ALLOW_MULTI = 1 << 1
# The kernel refuses more programs of one type on one cgroup (BPF_CGROUP_MAX_PROGS).
MAX_PROGRAMS = 64
CONNECT_MARK = "connect_mark"
JUDGE_CONNECT = "judge_connect"  # for each family
MNT_DETACH = 2  # include/uapi/linux/fs.h, umount2(2)


class _Attach(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    )


class _Query(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class CgroupHook:
    """The hook of one cgroup v2 directory where *program* belongs, one of HOOKS.

    Raises:
        DatapathError: the directory or bpf(2) refuses; every method may.
    """

    path: Path
    program: str = CONNECT_MARK

    @property
    def exists(self) -> bool:
        """Whether the directory is a cgroup: only then can anything be attached to it."""
        return (self.path / "cgroup.procs").exists()

    def attach(self, program_fd: int) -> None:
        """Attach the program beside those of others."""
        with self._open("attach to") as target:
            bpf(PROG_ATTACH, _Attach(target, program_fd, HOOKS[self.program], ALLOW_MULTI))

    def detach(self, program_id: int) -> None:
        """Detach the program with *program_id* if it is attached here and ours by name."""
        if program_id not in self.ids():
            return
        with self._open("detach from") as target:
            if program_name(program_id) != self.program:
                return
            program_fd = bpf(PROG_GET_FD_BY_ID, ById(program_id))
            try:
                bpf(PROG_DETACH, _Attach(target, program_fd, HOOKS[self.program]))
            finally:
                os.close(program_fd)

    def detach_own(self, program_fd: int, program_id: int) -> None:
        """Detach a program of this process, if it is attached here: names take more rights."""
        if program_id in self.ids():
            with self._open("detach from") as target:
                bpf(PROG_DETACH, _Attach(target, program_fd, HOOKS[self.program]))

    def attached(self) -> tuple[int, ...]:
        """Return the ids of the programs of that name attached here; takes CAP_SYS_ADMIN."""
        return tuple(each for each in self.ids() if program_name(each) == self.program)

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all programs attached here, whatever their names."""
        ids = (ctypes.c_uint32 * MAX_PROGRAMS)()
        with self._open("query") as target:
            attr = _Query(
                target_fd=target,
                attach_type=HOOKS[self.program],
                prog_ids=ctypes.addressof(ids),
                prog_cnt=MAX_PROGRAMS,
            )
            bpf(PROG_QUERY, attr)
            return tuple(ids[: attr.prog_cnt])

    @contextlib.contextmanager
    def _open(self, doing: str) -> Iterator[int]:
        fd = -1
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            yield fd
        except OSError as exc:
            raise DatapathError(
                f'can\'t {doing} cgroup "{self.path}": {exc.strerror}',
                hint="run as root" if exc.errno == errno.EPERM else "name a cgroup v2 directory",
            ) from exc
        finally:
            if fd >= 0:
                os.close(fd)


def mount_cgroup2(at: Path) -> Path:
    """Mount cgroup v2 of our own at *at*, for machines that have it nowhere.

    Raises:
        DatapathError: the kernel has no cgroup v2, or forbids mounting.
    """
    try:
        at.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise DatapathError(f'can\'t make "{at}": {exc.strerror}', "make room there") from exc
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"enforcer", os.fsencode(at), b"cgroup2", 0, None) != 0:
        raise DatapathError(
            f"cgroup v2 is not mounted and can't be mounted: {os.strerror(ctypes.get_errno())}",
            hint="mount it: mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    return at


def unmount_cgroup2(at: Path) -> None:
    """Undo `mount_cgroup2`, if it was done."""
    if at.is_mount():
        libc = ctypes.CDLL(None, use_errno=True)
        libc.umount2(os.fsencode(at), MNT_DETACH)
