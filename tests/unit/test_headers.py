"""From a packet's headers to where it goes."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.headers import parse_flow

V4 = bytes((198, 18, 0, 7)), bytes((10, 77, 0, 2))
V6 = ipaddress.ip_address("2001:db8::7").packed, ipaddress.ip_address("fd77::2").packed
PORTS = b"\x30\x39\x01\xbb" + bytes(16)  # 12345, 443


def ipv4(protocol: int, payload: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    """Return a packet from 10.77.0.2 to 198.18.0.7."""
    length = 0x45 + len(options) // 4
    middle = fragment.to_bytes(2, "big") + bytes((64, protocol)) + b"\0\0"
    return bytes((length,)) + bytes(5) + middle + V4[1] + V4[0] + options + payload


def ipv6(following: int, payload: bytes) -> bytes:
    """Return a packet from fd77::2 to 2001:db8::7."""
    return b"\x60" + bytes(5) + bytes((following, 64)) + V6[1] + V6[0] + payload


FRAGMENT = bytes((6, 0, 0, 1)) + bytes(4)
LATER_FRAGMENT = bytes((6, 0, 0, 0x08)) + bytes(4)
OPTIONS = bytes((6, 1)) + bytes(14)


@pytest.mark.parametrize(
    ("packet", "protocol", "ports"),
    [
        (ipv4(6, PORTS), 6, (12345, 443)),
        (ipv4(17, PORTS), 17, (12345, 443)),
        (ipv4(6, PORTS, options=bytes(8)), 6, (12345, 443)),
        (ipv4(6, PORTS, fragment=0x2000), 6, (12345, 443)),
        (ipv4(6, PORTS, fragment=1), 6, (0, 0)),
        (ipv4(1, PORTS), 1, (0, 0)),
        (ipv4(6, b"\x30\x39\x01"), 6, (0, 0)),
        (ipv6(6, PORTS), 6, (12345, 443)),
        (ipv6(58, PORTS), 58, (0, 0)),
        (ipv6(60, OPTIONS + PORTS), 6, (12345, 443)),
        (ipv6(44, FRAGMENT + PORTS), 6, (12345, 443)),
        (ipv6(44, LATER_FRAGMENT + PORTS), 6, (0, 0)),
    ],
)
def test_a_packet_goes_where_its_headers_say(
    packet: bytes, protocol: int, ports: tuple[int, int]
) -> None:
    """Options and extension headers are passed over; a later fragment shows no ports."""
    flow = parse_flow(packet)
    assert flow is not None
    assert (flow.source.packed, flow.destination.address.packed) in {V4[::-1], V6[::-1]}
    assert flow.destination.protocol == protocol
    assert (flow.source_port, flow.destination.port) == ports


@given(st.binary(max_size=128))
def test_any_bytes_are_a_flow_or_none(packet: bytes) -> None:
    """Whatever a container sends is read without an error."""
    parse_flow(packet)
    parse_flow(ipv6(0, packet))
    parse_flow(ipv4(6, packet))
