"""The names of all BPF programs and maps in the kernel, through bpf(2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from enforcer.edge.bpf import OBJ_GET_INFO_BY_FD, PROG_GET_FD_BY_ID, ById, InfoByFd, bpf

# enum bpf_cmd of include/uapi/linux/bpf.h: next id, descriptor by id.
_PROGRAMS = (11, PROG_GET_FD_BY_ID)
_MAPS = (12, 14)
# Offsets of the name in struct bpf_prog_info and struct bpf_map_info.
_NAME_AT = {_PROGRAMS: 64, _MAPS: 24}
_NAME_SIZE = 16


class _MapCreate(ctypes.Structure):
    _fields_ = (
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * _NAME_SIZE),
    )


# enum bpf_map_type of include/uapi/linux/bpf.h.
HASH, DEVMAP_HASH = 1, 25


def new_map(name: str, kind: int = HASH, max_entries: int = 1) -> int:
    """Return the descriptor of a new map with keys and values of 4 bytes."""
    attr = _MapCreate(
        map_type=kind,
        key_size=4,
        value_size=4,
        max_entries=max_entries,
        map_name=name.encode("ascii"),
    )
    return bpf(0, attr)


def names() -> Iterator[str]:
    """Yield the name of each program and map that exists now."""
    for kind in (_PROGRAMS, _MAPS):
        next_id, by_id = kind
        attr = ById()
        while True:
            try:
                bpf(next_id, attr)
            except FileNotFoundError:
                break
            attr.id = attr.next_id
            try:
                fd = bpf(by_id, ById(attr.id))
            except FileNotFoundError:
                continue  # gone since it was listed
            info = ctypes.create_string_buffer(_NAME_AT[kind] + _NAME_SIZE)
            bpf(OBJ_GET_INFO_BY_FD, InfoByFd(fd, len(info), ctypes.addressof(info)))
            os.close(fd)
            yield info.raw[_NAME_AT[kind] :].rstrip(b"\0").decode()
