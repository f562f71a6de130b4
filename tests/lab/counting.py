"""A tc program of somebody else, which lets packets go on: one that counts them, or nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from enforcer.edge.bpf import bpf, program_id
from tests.lab.bpf_objects import new_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

# linux/bpf.h: enum bpf_cmd, bpf_map_type, bpf_prog_type.
_LOOKUP, _LOAD = 1, 5
_ARRAY = 2
_SCHED_CLS = 3
_ETH_P_ALL = 0x0003
# Any but the first, which runs first: there others would see packets before us.
PRIORITY, _HANDLE = 7, 1


class _Load(ctypes.Structure):
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
    )


class _Element(ctypes.Structure):
    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


def _instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    # Destination in the low half of *registers*, source in the high one.
    return struct.pack("=BBhi", code, registers, offset, immediate)


_PASS = _instruction(0xB7, 0x00, 0, -1) + _instruction(0x95)  # return TC_ACT_UNSPEC


def _counting(map_fd: int) -> bytes:
    return b"".join(
        (
            _instruction(0x62, 0x0A, -4, 0),  # *(u32 *)(r10 - 4) = 0
            _instruction(0xBF, 0xA2),  # r2 = r10
            _instruction(0x07, 0x02, 0, -4),  # r2 += -4
            _instruction(0x18, 0x11, 0, map_fd) + _instruction(0),  # r1 = the map
            _instruction(0x85, 0, 0, 1),  # r0 = bpf_map_lookup_elem(r1, r2)
            _instruction(0x15, 0x00, 2, 0),  # if r0 == 0: skip two
            _instruction(0xB7, 0x01, 0, 1),  # r1 = 1
            _instruction(0xC3, 0x10),  # lock *(u32 *)r0 += r1
            _PASS,
        )
    )


class Passing:
    """A loaded program that does nothing, or what *code* says.

    Args:
        name: of the program, as the kernel knows it.
        code: its instructions.
    """

    def __init__(self, name: str, code: bytes = _PASS) -> None:
        buffer, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
        attr = _Load(
            prog_type=_SCHED_CLS,
            insn_cnt=len(code) // 8,
            insns=ctypes.addressof(buffer),
            license=ctypes.addressof(licence),
            prog_name=name.encode("ascii"),
        )
        self._program = bpf(_LOAD, attr)

    def close(self) -> None:
        """Let go of it; where it is attached it stays."""
        os.close(self._program)

    @property
    def id(self) -> int:
        """Of the program."""
        return program_id(self._program)

    def attach(self, host: Namespace, name: str, parent: int, filter_name: str) -> None:
        """Put it on a hook of the interface *name*, which gets the qdisc if it has none."""
        host.run("tc", "qdisc", "add", "dev", name, "clsact", check=False)
        self._put(host, "add-filter", name, parent, (_HANDLE, PRIORITY, filter_name))

    def replace(
        self, host: Namespace, name: str, parent: int, theirs: tuple[int, int, str]
    ) -> None:
        """Put it in the place of a filter, known by its handle, priority and name."""
        self._put(host, "replace-filter", name, parent, theirs)

    def _put(
        self, host: Namespace, how: str, name: str, parent: int, place: tuple[int, int, str]
    ) -> None:
        handle, priority, filter_name = place

        def put() -> None:
            with IPRoute() as netlink:
                netlink.tc(
                    how,
                    "bpf",
                    socket.if_nametoindex(name),
                    handle,
                    parent=parent,
                    info=priority << 16 | socket.htons(_ETH_P_ALL),
                    fd=self._program,
                    name=filter_name,
                    direct_action=True,
                )

        host.call(put)


class Counter(Passing):
    """One that counts.

    Args:
        name: of the program, as the kernel knows it.
    """

    def __init__(self, name: str) -> None:
        self._map = new_map("counted", _ARRAY)
        super().__init__(name, _counting(self._map))

    def close(self) -> None:
        """Let go of it; where it is attached it stays."""
        super().close()
        os.close(self._map)

    @property
    def packets(self) -> int:
        """How many it has seen."""
        key, value = ctypes.c_uint32(0), ctypes.c_uint32(0)
        attr = _Element(map_fd=self._map, key=ctypes.addressof(key), value=ctypes.addressof(value))
        bpf(_LOOKUP, attr)
        return value.value


@contextlib.contextmanager
def counter(name: str) -> Iterator[Counter]:
    """Load the program until the block ends."""
    loaded = Counter(name)
    try:
        yield loaded
    finally:
        loaded.close()
