"""The Python mirror of bpf/abi.h, which is the source of truth.

Layouts and values are compared by tests/bpf/test_abi.py.
"""

from __future__ import annotations

import ctypes
import enum
import ipaddress
import struct

from enforcer.core.addresses import Address
from enforcer.core.answers import MAX_TTL_S as MAX_TTL_S  # noqa: PLC0414  part of the mirror
from enforcer.core.grants import MAX_PORTS as MAX_PORTS  # noqa: PLC0414  part of the mirror

NAME_SIZE = 256
SHORT_NAME_SIZE = 52
MESSAGE_MAX = 4096
QUERY_TIMEOUT_S = 30
MAX_QUERIES = 16384
MAX_UNANSWERED = 2048
MAX_ASKERS = 16384
MAX_LEARNED = 65536
MAX_RESOLVERS = 4096
MAX_GRANTS = 1 << 22
MAX_REFUSED = 65536
MAX_CONNECTORS = 4096
MAX_PLACES = 65536
MAX_OPENED = 2 * (65536 + 4096)
CONFIG_KEY = 0
SEALED_KEY = 0


class Refusal(enum.IntEnum):
    """enum refusal."""

    NEVER = 1
    PRIVATE = 2


class GrantFlags(enum.IntFlag):
    """enum grant_flags."""

    PRIVATE = 1


class AnswerFlags(enum.IntFlag):
    """enum answer_flags."""

    UNUSUAL = 1
    CUT = 2


class PlaceKind(enum.IntEnum):
    """enum place."""

    OUTSIDE = 1
    PERMITTED = 2


class JudgingFlags(enum.IntFlag):
    """enum judging_flags."""

    DENIES = 1
    TELLS = 2


class Stat(enum.IntEnum):
    """enum stat."""

    QUERIES = 0
    ANSWERS = 1
    LEARNED = 2
    REFUSED = 3
    UNUSUAL = 4
    LOST = 5
    MARKED = 6
    FAILED = 7
    EXCESS = 8
    DENIED = 9


class Config(ctypes.Structure):
    """struct config."""

    _fields_ = (
        ("nonce", ctypes.c_uint32),
        ("other_nonce", ctypes.c_uint32),
        ("min_ttl_s", ctypes.c_uint32),
        ("grace_s", ctypes.c_uint32),
        ("beside", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("policy", ctypes.c_uint64),
    )


class NameKey(ctypes.Structure):
    """struct name_key."""

    _fields_ = (("prefixlen", ctypes.c_uint32), ("name", ctypes.c_uint8 * NAME_SIZE))


class ShortNameKey(ctypes.Structure):
    """struct short_name_key."""

    _fields_ = (("prefixlen", ctypes.c_uint32), ("name", ctypes.c_uint8 * SHORT_NAME_SIZE))


# The same, for very many of them: a structure of ctypes takes ten times as long to fill.
NAME_KEY = struct.Struct(f"=I{NAME_SIZE}s")
SHORT_NAME_KEY = struct.Struct(f"=I{SHORT_NAME_SIZE}s")


class Grant(ctypes.Structure):
    """struct grant."""

    _fields_ = (("ports", ctypes.c_uint16 * MAX_PORTS), ("flags", ctypes.c_uint32))


class RefusedKey(ctypes.Structure):
    """struct refused_key."""

    _fields_ = (
        ("prefixlen", ctypes.c_uint32),
        ("family", ctypes.c_uint8),
        ("address", ctypes.c_uint8 * 16),
        ("pad", ctypes.c_uint8 * 3),
    )


class MappedAddress(ctypes.Structure):
    """struct address."""

    _fields_ = (("bytes", ctypes.c_uint8 * 16),)

    @classmethod
    def of(cls, address: Address) -> MappedAddress:
        """Map an IPv4 address into IPv6 (RFC 4291 section 2.5.5.2)."""
        mapped = isinstance(address, ipaddress.IPv4Address)
        packed = bytes(10) + b"\xff\xff" + address.packed if mapped else address.packed
        return cls.from_buffer_copy(packed)

    def address(self) -> Address:
        """Undo `of`."""
        v6 = ipaddress.IPv6Address(bytes(self.bytes))
        return v6.ipv4_mapped or v6


class QueryKey(ctypes.Structure):
    """struct query_key."""

    _fields_ = (
        ("client", MappedAddress),
        ("resolver", MappedAddress),
        ("ifindex", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("port", ctypes.c_uint16.__ctype_be__),
        ("id", ctypes.c_uint16.__ctype_be__),
    )


class Asker(ctypes.Structure):
    """struct asker."""

    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("second", ctypes.c_uint32),
    )


class Query(ctypes.Structure):
    """struct query."""

    _fields_ = (("time_ns", ctypes.c_uint64), ("asker", Asker), ("pad", ctypes.c_uint32))


class LearnedKey(ctypes.Structure):
    """struct learned_key."""

    _fields_ = (
        ("address", MappedAddress),
        ("port", ctypes.c_uint16),
        ("pad", ctypes.c_uint16),
    )

    @classmethod
    def of(cls, address: Address, port: int) -> LearnedKey:
        """Return the key of *address* and *port*."""
        return cls(MappedAddress.of(address), port)


class Learned(ctypes.Structure):
    """struct learned."""

    _fields_ = (("expires_ns", ctypes.c_uint64),)


class FlowKey(ctypes.Structure):
    """struct flow_key."""

    _fields_ = (
        ("source", MappedAddress),
        ("destination", MappedAddress),
        ("protocol", ctypes.c_uint32),
        ("source_port", ctypes.c_uint16),
        ("destination_port", ctypes.c_uint16),
    )


class Connector(ctypes.Structure):
    """struct connector."""

    _fields_ = (
        ("cgroup", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class PlaceKey(ctypes.Structure):
    """struct place_key."""

    _fields_ = (
        ("prefixlen", ctypes.c_uint32),
        ("family", ctypes.c_uint8),
        ("address", ctypes.c_uint8 * 16),
        ("pad", ctypes.c_uint8 * 3),
    )


class Judging(ctypes.Structure):
    """struct judging."""

    _fields_ = (
        ("socket", ctypes.c_uint64),
        ("namespace", ctypes.c_uint64),
        ("until_ns", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class DeniedEvent(ctypes.Structure):
    """struct denied_event."""

    _fields_ = (
        ("destination", MappedAddress),
        ("port", ctypes.c_uint16),
        ("pad", ctypes.c_uint16),
        ("pad2", ctypes.c_uint32),
        ("who", Connector),
    )


class Sealed(ctypes.Structure):
    """struct sealed."""

    _fields_ = (
        ("packets", ctypes.c_uint64),
        ("ifindex", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("to", MappedAddress),
    )


class AnswerEvent(ctypes.Structure):
    """struct answer_event; `len` bytes of DNS message follow it."""

    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("len", ctypes.c_uint32),
    )
