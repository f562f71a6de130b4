"""Ways to get a packet to an address, each a function; also the script that tries one.

Standard library only. Exit status 0 says that nothing objected, not that it arrived.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

PORT = 443
HOP_BY_HOP, DESTINATION_OPTIONS = 54, 59  # linux/in6.h: IPV6_HOPOPTS, IPV6_DSTOPTS
_TIMEOUT_S = 0.3
_GATEWAY = "172.30.0.1"  # of the lab's container
_SYN, _ACK = 0x02, 0x10
_ROUTING, _FRAGMENT = 43, 44  # IPv6 next headers
_UDPLITE = 136
_ROUTING_OPTION = 57  # linux/in6.h: IPV6_RTHDR
_PAD = b"\x01\x04\0\0\0\0"  # an option of padding: six bytes


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _connect(address: str, sock: socket.socket, port: int = PORT) -> None:
    sock.settimeout(_TIMEOUT_S)
    # A refusal is what the caller finds out by looking at the other end.
    with contextlib.suppress(OSError):
        sock.connect((address, port))


def tcp(address: str) -> None:
    """Connect."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as sock:
        _connect(address, sock)


def fastopen(address: str) -> None:
    """Send data with the SYN."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(_TIMEOUT_S)
        with contextlib.suppress(OSError):
            sock.sendto(b"secret", socket.MSG_FASTOPEN, (address, PORT))


def mptcp(address: str) -> None:
    """Connect by several paths, which each have a socket of their own."""
    with socket.socket(_family(address), socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as sock:
        _connect(address, sock)


def mapped(address: str) -> None:
    """Connect an IPv6 socket to an IPv4 address."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        _connect(f"::ffff:{address}", sock)


def marked(address: str) -> None:
    """Connect with a mark of one's own, as CAP_NET_RAW allows."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x5EED)
        _connect(address, sock)


def udp(address: str) -> None:
    """Send a datagram, as QUIC would."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        sock.sendto(b"secret", (address, PORT))


def udplite(address: str) -> None:
    """Send a datagram of a protocol that any user has a socket for."""
    with socket.socket(_family(address), socket.SOCK_DGRAM, _UDPLITE) as sock:
        sock.sendto(b"secret", (address, PORT))


def ping(address: str) -> None:
    """Send an ICMP echo request by a socket that users of net.ipv4.ping_group_range have."""
    four = _family(address) == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    with socket.socket(_family(address), socket.SOCK_DGRAM, protocol) as sock:
        sock.sendto((b"\x08" if four else b"\x80") + b"\0\0\0\0\1\0\1secret", (address, 0))


def group(address: str) -> None:
    """Send a datagram to all of a group, or of a link."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex("eth0")
        if _family(address) == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            by = struct.pack("=8xi", index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, by)
            sock.sendto(b"secret", (address, PORT))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.sendto(b"secret", (address, PORT))


def dhcp(address: str) -> None:
    """Send a datagram as a DHCP client does, by a port that may be anybody's."""
    ours, theirs = (68, 67) if _family(address) == socket.AF_INET else (546, 547)
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        sock.bind(("", ours))
        zone = "" if _family(address) == socket.AF_INET else "%eth0"
        (to, *_) = socket.getaddrinfo(f"{address}{zone}", theirs, type=socket.SOCK_DGRAM)
        sock.sendto(b"secret", to[-1])


def query(address: str) -> None:
    """Ask for a name, as DNS would."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        sock.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1", (address, 53))


def echo(address: str) -> None:
    """Send an ICMP echo request."""
    if _family(address) == socket.AF_INET:
        _raw(
            address, socket.IPPROTO_ICMP, b"\x08\0" + _checksum(b"\x08\0\0\0\0\1\0\1") + b"\0\1\0\1"
        )
    else:
        _raw(address, socket.IPPROTO_ICMPV6, b"\x80\0\0\0\0\1\0\1")


def sctp(address: str) -> None:
    """Send an INIT of SCTP."""
    _raw(
        address,
        socket.IPPROTO_SCTP,
        struct.pack("!HHIIBBHIIHHI", 5, PORT, 0, 0, 1, 0, 20, 1, 9, 1, 1, 1),
    )


def raw_syn(address: str) -> None:
    """Send a first segment without the kernel's TCP."""
    _raw(address, socket.IPPROTO_TCP, _segment(address, _SYN))


def raw_ack(address: str) -> None:
    """Send a segment of a connection that there is not."""
    _raw(address, socket.IPPROTO_TCP, _segment(address, _ACK) + b"secret")


def fragments(address: str) -> None:
    """Send a first segment in two pieces, the port in the first."""
    segment = _segment(address, _SYN)
    if _family(address) == socket.AF_INET:
        for offset, more, piece in ((0, 0x2000, segment[:8]), (1, 0, segment[8:])):
            header = struct.pack(
                "!BBHHHBBH", 0x45, 0, 20 + len(piece), 0x4242, more | offset, 64, 6, 0
            )
            _raw(
                address, socket.IPPROTO_RAW, header + bytes(4) + ip_address(address).packed + piece
            )
    else:
        for offset, more, piece in ((0, 1, segment[:8]), (8, 0, segment[8:])):
            _raw(address, _FRAGMENT, struct.pack("!BBHI", 6, 0, offset | more, 0x42) + piece)


def hop_by_hop(address: str) -> None:
    """Connect with an IPv6 extension header that every router reads."""
    _with_header(address, HOP_BY_HOP, b"\0\0" + _PAD)


def destination_options(address: str) -> None:
    """Connect with an IPv6 extension header for the other end."""
    _with_header(address, DESTINATION_OPTIONS, b"\0\0" + _PAD)


def packet_socket(address: str) -> None:
    """Write a frame past this namespace's own IP layer and its firewall."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        _connect(_GATEWAY, sock)  # so that its link address is known, of both families
    known = (line.split() for line in Path("/proc/net/arp").read_text().splitlines()[1:])
    gateway = next(bytes.fromhex(words[3].replace(":", "")) for words in known)
    ether_type, packet = _packet(address, _segment(address, _SYN))
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, ether_type) as sock:
        sock.sendto(packet, ("eth0", ether_type, 0, 0, gateway))


def source_route(via: str, address: str) -> None:
    """Connect to *address* over *via*, which a packet names as its destination."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        option = struct.pack("!BBBB4s", 1, 131, 7, 4, ip_address(via).packed)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, option)
        _connect(address, sock)


def routing_header(via: str, address: str) -> None:
    """Connect to *address* over *via*, in IPv6."""
    # The kernel's own TCP sends none of type 0 (RFC 5095): routers elsewhere may follow it.
    header = struct.pack("!BBBBI16s", 6, 2, 0, 1, 0, ip_address(address).packed)
    _raw(via, _ROUTING, header + _segment(via, _SYN))


def segment_routing(via: str, address: str) -> None:
    """Connect to *address* over *via*, with the routing header that any user may set."""
    # The kernel puts the destination in the first segment, which comes last in the list.
    header = struct.pack("!BBBBBBH16x16s", 0, 4, 4, 1, 1, 0, 0, ip_address(via).packed)
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, _ROUTING_OPTION, header)
        _connect(address, sock)


def led_on(via: str, address: str) -> None:
    """Connect to *via*, and send what is to be led on to *address* from there."""
    family = _family(via)
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        _connect(via, sock)
        hops = ip_address(via).packed, ip_address(address).packed
        if family == socket.AF_INET:
            option = struct.pack("!BBBB4s4s", 1, 131, 11, 4, *hops)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, option)
        else:
            header = struct.pack("!BBBBBBH16x16s16s", 0, 6, 4, 2, 2, 0, 0, *hops[::-1])
            sock.setsockopt(socket.IPPROTO_IPV6, _ROUTING_OPTION, header)
        sock.sendall(b"secret")


def connected_again(first: str, address: str, how: str = "plain") -> None:
    """Connect to *first*, let go, and connect the same socket to *address*."""
    family = _family(first)
    if how == "mapped":
        family, first, address = socket.AF_INET6, f"::ffff:{first}", f"::ffff:{address}"
    protocol = socket.IPPROTO_MPTCP if how == "mptcp" else 0
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)  # noqa: FBT003 - a socket's own interface
        with contextlib.suppress(BlockingIOError):
            sock.connect((first, PORT))
        unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
        import ctypes  # noqa: PLC0415 - Python's own connect() knows no AF_UNSPEC

        ctypes.CDLL(None).connect(sock.fileno(), unspecified, len(unspecified))
        _connect(address, sock)


def _with_header(address: str, option: int, header: bytes) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, option, header)
        _connect(address, sock)


def _raw(address: str, protocol: int, payload: bytes) -> None:
    with socket.socket(_family(address), socket.SOCK_RAW, protocol) as sock:
        sock.sendto(payload, (address, 0))


def _source(address: str) -> IPv4Address | IPv6Address:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))
        return ip_address(sock.getsockname()[0])


def _segment(address: str, flags: int) -> bytes:
    header = struct.pack("!HHIIBBHHH", 40000, PORT, 1, 1, 5 << 4, flags, 1024, 0, 0)
    pseudo = _source(address).packed + ip_address(address).packed + struct.pack("!II", 20, 6)
    return header[:16] + _checksum(pseudo + header) + header[18:]


def _packet(address: str, segment: bytes) -> tuple[int, bytes]:
    """Return the type of frame and the packet."""
    here, there = _source(address), ip_address(address)
    if there.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0)
        header += here.packed + there.packed
        header = header[:10] + _checksum(header) + header[12:]
        return 0x0800, header + segment
    header = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64)
    return 0x86DD, header + here.packed + there.packed + segment


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
