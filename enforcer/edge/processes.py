"""A process as /proc has it, for as long as it is there."""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# include/linux/exportfs.h, include/uapi/linux/fcntl.h
_FILEID_KERNFS = 0xFE
_PATH_ONLY = os.O_PATH | os.O_CLOEXEC


class _Handle(ctypes.Structure):
    # struct file_handle of a cgroup: its id is all that names it (fs/kernfs/mount.c).
    _fields_ = (
        ("handle_bytes", ctypes.c_uint32),
        ("handle_type", ctypes.c_int32),
        ("id", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Process:
    """What is known of a process; empty texts where nothing is.

    Attributes:
        name: its first thread's.
        executable: path of what it runs, as its mount namespace has it.
        cgroups: its /proc/PID/cgroup.
    """

    name: str
    executable: str
    cgroups: str


def process(pid: int) -> Process:
    """Return what /proc says of the process *pid*, which may have ended already."""
    folder = _PROC / str(pid)
    executable = ""
    with contextlib.suppress(OSError):
        executable = os.fsdecode((folder / "exe").readlink())
    return Process(_text(folder / "comm").rstrip("\n"), executable, _text(folder / "cgroup"))


def in_our_network(pid: int) -> bool | None:
    """Tell whether the process *pid* is in this one's network namespace; None if it has ended."""
    try:
        return (_PROC / str(pid) / "ns/net").samefile(_PROC / "self/ns/net")
    except OSError:
        return None


def cgroup_path(number: int, root: Path) -> str:
    """Return the path below the hierarchy's root of the cgroup v2 with the id *number*.

    Args:
        number: as bpf_get_current_cgroup_id() returns it.
        root: where the hierarchy is mounted.

    Returns: empty if there is none any more, or nobody may know.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle = _Handle(ctypes.sizeof(ctypes.c_uint64), _FILEID_KERNFS, number)
    try:
        mount = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fd = libc.open_by_handle_at(mount, ctypes.byref(handle), _PATH_ONLY)
    finally:
        os.close(mount)
    if fd < 0:
        return ""
    try:
        return f"/{os.path.relpath(Path(f'/proc/self/fd/{fd}').readlink(), root)}"
    finally:
        os.close(fd)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
