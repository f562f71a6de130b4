"""The script that notes each first SYN that arrives in the world for what is not always permitted.

It sees frames as they come from the wire, whatever becomes of them, with the kernel's own
time of arrival: what got here got past the firewall, and when.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import struct
import sys
import time

from chaos.kinds import PERMITTED, kind_of

_ALL_PROTOCOLS = 0x0003  # linux/if_ether.h: ETH_P_ALL
_ATTACH_FILTER, _TIMESTAMP_NS = 26, 35  # asm-generic/socket.h
_SOL_PACKET, _STATISTICS = 263, 6  # linux/if_packet.h
_RECEIVE_BUFFER = 16 << 20
_SNAPLEN = 128
_TIMESPEC = struct.Struct("=qq")

# Classic BPF (linux/filter.h): TCP right behind an IP header without options, SYN without ACK.
_LOAD_HALF, _LOAD_BYTE, _AND, _EQUAL, _GO, _RETURN = 0x28, 0x30, 0x54, 0x15, 0x05, 0x06
_FIRST_SYN = (
    (_LOAD_HALF, 0, 0, 12),  # the type of the frame
    (_EQUAL, 0, 4, 0x0800),
    (_LOAD_BYTE, 0, 0, 14 + 9),  # IPv4: the protocol
    (_EQUAL, 0, 9, socket.IPPROTO_TCP),
    (_LOAD_BYTE, 0, 0, 14 + 20 + 13),  # the flags
    (_GO, 0, 0, 4),
    (_EQUAL, 0, 6, 0x86DD),
    (_LOAD_BYTE, 0, 0, 14 + 6),  # IPv6: the next header
    (_EQUAL, 0, 4, socket.IPPROTO_TCP),
    (_LOAD_BYTE, 0, 0, 14 + 40 + 13),
    (_AND, 0, 0, 0x12),
    (_EQUAL, 0, 1, 0x02),
    (_RETURN, 0, 0, _SNAPLEN),
    (_RETURN, 0, 0, 0),
)


def listening(device: str) -> socket.socket:
    """Return a socket that receives each first SYN on *device*."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing before the filter
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in _FIRST_SYN))
    program = struct.pack("@HP", len(_FIRST_SYN), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
    sock.bind((device, _ALL_PROTOCOLS))
    sock.settimeout(0)
    return sock


def destination(frame: bytes) -> str:
    """Return the address that *frame* goes to."""
    if frame[12:14] == b"\x08\0":
        return socket.inet_ntop(socket.AF_INET, frame[30:34])
    return socket.inet_ntop(socket.AF_INET6, frame[38:54])


class Witness:
    """Writes a line for each: monotonic seconds, address; and counts the others."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._permitted = 0

    def drain(self) -> None:
        """Take what has arrived."""
        # The kernel stamps arrivals with the time of day.
        ahead_s = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
        space = socket.CMSG_SPACE(_TIMESPEC.size)
        while True:
            try:
                frame, extra, _, _ = self._sock.recvmsg(_SNAPLEN, space)
            except BlockingIOError:
                return
            address = destination(frame)
            if kind_of(address) in PERMITTED:
                self._permitted += 1
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(extra[0][2])
            at = seconds + nanoseconds / 1e9 - ahead_s
            sys.stdout.write(f"{at:.6f} {address}\n")

    def totals(self) -> dict[str, int]:
        """Return what was counted; `dropped` ones found no room and were not seen."""
        packed = self._sock.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        _, dropped = struct.unpack("=II", packed)
        return {"permitted": self._permitted, "dropped": dropped}


def main() -> None:
    """Note until standard input ends; the last line is JSON."""
    os.nice(-5)
    with listening(sys.argv[1]) as sock, selectors.DefaultSelector() as selector:
        witness = Witness(sock)
        selector.register(sock, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            witness.drain()
            if sys.stdin in ready:
                break
        json.dump(witness.totals(), sys.stdout)


if __name__ == "__main__":
    main()
