"""The names of all BPF programs and maps in the kernel, through bpf(2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from enforcer.edge.bpf import OBJ_GET_INFO_BY_FD, PROG_GET_FD_BY_ID, ById, InfoByFd, bpf
from enforcer.edge.bytecode import MAP_CREATE, MapAttr

# enum bpf_cmd of include/uapi/linux/bpf.h: next id, descriptor by id.
_PROGRAMS = (11, PROG_GET_FD_BY_ID)
_MAPS = (12, 14)
# Offsets of the name in struct bpf_prog_info and struct bpf_map_info.
_NAME_AT = {_PROGRAMS: 64, _MAPS: 24}
_NAME_SIZE = 16


# enum bpf_map_type of include/uapi/linux/bpf.h.
HASH, DEVMAP_HASH = 1, 25


def new_map(name: str, kind: int = HASH, max_entries: int = 1) -> int:
    """Return the descriptor of a new map with keys and values of 4 bytes."""
    attr = MapAttr(
        map_type=kind,
        key_size=4,
        value_size=4,
        max_entries=max_entries,
        map_name=name.encode("ascii"),
    )
    return bpf(MAP_CREATE, attr)


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
