"""Run a loaded program on one packet with BPF_PROG_TEST_RUN: no network, a verdict."""

from __future__ import annotations

import ctypes
import socket
import struct
from ipaddress import ip_address

from enforcer.edge.bpf import bpf

PROG_TEST_RUN = 10
ETHER = bytes(12)
ETHER_TYPE = {4: b"\x08\x00", 6: b"\x86\xdd"}


class _Attr(ctypes.Structure):
    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
    )


def run(program_fd: int, packet: bytes, repeat: int = 1) -> int:
    """Run the program on *packet*, an Ethernet frame; return what it returned, signed."""
    data = ctypes.create_string_buffer(packet, len(packet))
    attr = _Attr(
        prog_fd=program_fd,
        data_in=ctypes.addressof(data),
        data_size_in=len(packet),
        repeat=repeat,
    )
    bpf(PROG_TEST_RUN, attr)
    return ctypes.c_int32(attr.retval).value


def udp(
    source: str, source_port: int, destination: str, destination_port: int, body: bytes
) -> bytes:
    """Return an Ethernet frame with *body* in a UDP datagram, checksums left out."""
    datagram = struct.pack("!HHHH", source_port, destination_port, 8 + len(body), 0) + body
    return ip(source, destination, socket.IPPROTO_UDP, datagram)


def ip(source: str, destination: str, protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    """Return an Ethernet frame with an IP packet of either family."""
    here, there = ip_address(source), ip_address(destination)
    if here.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, fragment, 64, protocol, 0)
    else:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return ETHER + ETHER_TYPE[here.version] + header + here.packed + there.packed + payload
