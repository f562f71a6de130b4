"""bpf(2): the system call, and what the kernel knows of loaded programs and maps."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from enforcer.edge.syscall import BPF, syscall  # noqa: TID251 - what it is made of

# enum bpf_cmd of include/uapi/linux/bpf.h.
PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 13, 14, 15
# A program of ours uses a dozen.
_MAX_MAPS = 64

# Parts of the programs that all else works without.
NOTING, JUDGING = "noting", "judging"

Info = TypeVar("Info", bound=ctypes.Structure)


@dataclass(frozen=True)
class Objects:
    """Descriptors of loaded programs and of their maps, by name, wherever they come from.

    Attributes:
        refused: why optional programs are not among them, by the part that they are of.
    """

    programs: Mapping[str, int]
    maps: Mapping[str, int]
    refused: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Close all descriptors; what is attached stays in the kernel."""
        for fd in (*self.programs.values(), *self.maps.values()):
            os.close(fd)


class ById(ctypes.Structure):
    """union bpf_attr of the commands that go by id."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("next_id", ctypes.c_uint32),
        ("open_flags", ctypes.c_uint32),
    )


class InfoByFd(ctypes.Structure):
    """union bpf_attr of BPF_OBJ_GET_INFO_BY_FD."""

    _fields_ = (
        ("bpf_fd", ctypes.c_uint32),
        ("info_len", ctypes.c_uint32),
        ("info", ctypes.c_uint64),
    )


class MapInfo(ctypes.Structure):
    """struct bpf_map_info up to the name; the kernel fills as much as is asked for."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _ProgramInfo(ctypes.Structure):
    # struct bpf_prog_info up to the name.
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
    )


def run_time(program_fd: int) -> tuple[int, int]:
    """Return how long a program ran, in nanoseconds, and how often, while statistics were on."""
    # Not in struct bpf_prog_info of every kernel's headers, but in all from 5.1 here.
    lines = Path(f"/proc/self/fdinfo/{program_fd}").read_text("ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields.get("run_time_ns", 0)), int(fields.get("run_cnt", 0))


def program_id(program_fd: int) -> int:
    """Return the id of a loaded program."""
    return int(info(program_fd, _ProgramInfo()).id)


def program_name(program_id: int) -> str:
    """Return the name of the program with *program_id*; empty if it is gone."""
    try:
        fd = bpf(PROG_GET_FD_BY_ID, ById(program_id))
    except FileNotFoundError:
        return ""
    try:
        return bytes(info(fd, _ProgramInfo()).name).decode()
    finally:
        os.close(fd)


def maps_of(program_id: int) -> tuple[int, ...]:
    """Return descriptors of the maps that the program with *program_id* uses.

    They are the caller's to close; none where it is gone.

    Raises:
        OSError: the kernel refuses.
    """
    ids = (ctypes.c_uint32 * _MAX_MAPS)()
    try:
        fd = bpf(PROG_GET_FD_BY_ID, ById(program_id))
    except FileNotFoundError:
        return ()
    try:
        asked = _ProgramInfo(nr_map_ids=_MAX_MAPS, map_ids=ctypes.addressof(ids))
        count = info(fd, asked).nr_map_ids
        return tuple(bpf(MAP_GET_FD_BY_ID, ById(each)) for each in ids[:count])
    finally:
        os.close(fd)


def bpf(command: int, attr: ctypes.Structure) -> int:
    """Make the system call and return its result.

    Args:
        command: of enum bpf_cmd.
        attr: the part of union bpf_attr that it takes.

    Raises:
        OSError: it failed.
    """
    return syscall(BPF, command, ctypes.byref(attr), ctypes.sizeof(attr))


def info(fd: int, into: Info) -> Info:
    """Fill *into* with what the kernel knows of a program or map, and return it.

    Args:
        fd: of the program or map.
        into: struct bpf_prog_info or bpf_map_info, as much of its start as is wanted.

    Raises:
        OSError: it failed.
    """
    attr = InfoByFd(fd, ctypes.sizeof(into), ctypes.addressof(into))
    bpf(OBJ_GET_INFO_BY_FD, attr)
    return into
