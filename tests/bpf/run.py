"""Run a loaded program on one packet with BPF_PROG_TEST_RUN: no network, a verdict."""

from __future__ import annotations

import ctypes
import enum
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
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
    )


class _Skb(ctypes.Structure):
    # struct __sk_buff: the mark and room for the rest in any kernel to come.
    _fields_ = (
        ("len", ctypes.c_uint32),
        ("pkt_type", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 500),
    )


def run(program_fd: int, packet: bytes) -> int:
    """Run the program on *packet*, an Ethernet frame; return what it returned, signed."""
    return ctypes.c_int32(_test_run(program_fd, packet, 1).retval).value


def mean_ns(program_fd: int, packet: bytes, repeat: int) -> int:
    """Run the program *repeat* times on *packet*; return the mean nanoseconds of a run."""
    return int(_test_run(program_fd, packet, repeat).duration)


def _test_run(program_fd: int, packet: bytes, repeat: int) -> _Attr:
    data = ctypes.create_string_buffer(packet, len(packet))
    attr = _Attr(
        prog_fd=program_fd,
        data_in=ctypes.addressof(data),
        data_size_in=len(packet),
        repeat=repeat,
    )
    bpf(PROG_TEST_RUN, attr)
    return attr


def mark_of(program_fd: int, packet: bytes, mark: int = 0) -> int:
    """Run the program on *packet*, which has *mark*; return the mark it has then."""
    data = ctypes.create_string_buffer(packet, len(packet))
    before, after = _Skb(mark=mark), _Skb()
    attr = _Attr(
        prog_fd=program_fd,
        data_in=ctypes.addressof(data),
        data_size_in=len(packet),
        ctx_size_in=ctypes.sizeof(before),
        ctx_in=ctypes.addressof(before),
        ctx_size_out=ctypes.sizeof(after),
        ctx_out=ctypes.addressof(after),
        repeat=1,
    )
    bpf(PROG_TEST_RUN, attr)
    return int(after.mark)


def udp(
    source: str, source_port: int, destination: str, destination_port: int, body: bytes
) -> bytes:
    """Return an Ethernet frame with *body* in a UDP datagram, checksums left out."""
    datagram = struct.pack("!HHHH", source_port, destination_port, 8 + len(body), 0) + body
    return ip(source, destination, socket.IPPROTO_UDP, datagram)


class TcpFlag(enum.IntFlag):
    """RFC 9293 section 3.1."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    ACK = 0x10


def tcp(
    source: str,
    source_port: int,
    destination: str,
    destination_port: int,
    body: bytes = b"",
    *,
    sequence: int = 0,
    flags: TcpFlag = TcpFlag.ACK,
    options: bytes = b"",
) -> bytes:
    """Return an Ethernet frame with *body* in a TCP segment, checksums left out."""
    words = 5 + len(options) // 4
    header = struct.pack(
        "!HHIIBBHHH",
        source_port,
        destination_port,
        sequence % 2**32,
        0,
        words << 4,
        flags,
        0,
        0,
        0,
    )
    return ip(source, destination, socket.IPPROTO_TCP, header + options + body)


def ip(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """Return an Ethernet frame with an IP packet of either family.

    Args:
        source: address.
        destination: address.
        protocol: of *payload*, or of the first extension header before it.
        payload: what follows the header and its options.
        fragment: the flags and offset of IPv4.
        options: of IPv4, a multiple of four octets.
    """
    here, there = ip_address(source), ip_address(destination)
    if here.version == 4:
        first, size = 0x45 + len(options) // 4, 20 + len(options) + len(payload)
        header = struct.pack("!BBHHHBBH", first, 0, size, 0, fragment, 64, protocol, 0)
    else:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    header += here.packed + there.packed + options
    if here.version == 4:
        header = header[:10] + _checksum(header) + header[12:]
    return ETHER + ETHER_TYPE[here.version] + header + payload


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum of an even number of octets (RFC 1071)."""
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words) % 0xFFFF
    return (0xFFFF - total).to_bytes(2, "big")
