"""Messages of nf_tables, in bytes: elements of sets, transactions of them, and the answers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeAlias

from enforcer.core.addresses import Address
from enforcer.core.elements import TimedElement
from enforcer.core.ruleset import TABLE
from enforcer.edge import netlink  # noqa: TID251 - what they are made of
from enforcer.edge.netlink import (  # noqa: TID251 - likewise
    FAMILY_HEADER,
    HEADER,
    NLA_F_NESTED,
    NLM_F_ACK,
    NLMSG_ERROR,
    aligned,
    attribute,
    error_in,
)

_NLM_F_CREATE = 0x400  # linux/netlink.h

# linux/netfilter/nfnetlink.h, linux/netfilter.h
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
SUBSYS_NFTABLES = 10
_NFPROTO_UNSPEC = 0
NFPROTO_INET = 1


class Message(IntEnum):
    """linux/netfilter/nf_tables.h: enum nf_tables_msg_types."""

    GETTABLE = 1
    GETCHAIN = 4
    GETRULE = 7
    NEWSETELEM = 12
    GETSETELEM = 13
    DELSETELEM = 14
    GETGEN = 16
    GETOBJ = 19


class List(IntEnum):
    """enum nft_set_elem_list_attributes."""

    TABLE = 1
    SET = 2
    ELEMENTS = 3


class ElementPart(IntEnum):
    """enum nft_set_elem_attributes."""

    KEY = 1
    TIMEOUT = 4
    EXPIRATION = 5
    USERDATA = 6


_LIST_ELEMENT = 1  # enum nft_list_attributes: NFTA_LIST_ELEM
DATA_VALUE = 1  # enum nft_data_attributes: NFTA_DATA_VALUE
_UDATA_COMMENT = 0  # libnftnl/udata.h: NFTNL_UDATA_SET_ELEM_COMMENT
_UDATA = struct.Struct("BB")  # type, length

# What to do with elements of which set.
Part: TypeAlias = tuple[Message, str, bytes]


def transaction(begin: int, numbers: Sequence[int], end: int, parts: Sequence[Part]) -> bytes:
    """Return *parts* as one transaction.

    Args:
        begin: sequence number of its first message, in whose name it is refused as a whole.
        numbers: those of the parts, which are answered each by itself.
        end: that of the last message.
        parts: in order.
    """
    carried = (_elements(number, *part) for number, part in zip(numbers, parts, strict=True))
    return b"".join(
        (message(_BATCH_BEGIN, 0, begin, b""), *carried, message(_BATCH_END, 0, end, b""))
    )


def errors(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sequence number and error number, 0 for none, of each answer in *data*."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, number, _ = HEADER.unpack_from(data, offset)
        if kind == NLMSG_ERROR:
            yield number, error_in(data[offset + HEADER.size :])
        offset += aligned(length)


def bare(address: Address, port: int) -> bytes:
    """Return an element without lifetime and comment as an item of a message."""
    return _listed(_key(address, port))


def full(element: TimedElement) -> bytes:
    """Return *element* as an item of a message."""
    content = _key(element.address, element.port)
    content += attribute(ElementPart.TIMEOUT, struct.pack(">Q", element.timeout_ms))
    if element.comment:
        text = element.comment.encode() + b"\0"
        userdata = _UDATA.pack(_UDATA_COMMENT, len(text)) + text
        content += attribute(ElementPart.USERDATA, userdata)
    return _listed(content)


def comment_in(userdata: bytes) -> str:
    """Return the comment in the user data of an element; empty if there is none."""
    while len(userdata) >= _UDATA.size:
        kind, length = _UDATA.unpack_from(userdata)
        content = userdata[_UDATA.size : _UDATA.size + length]
        if kind == _UDATA_COMMENT:
            return content.rstrip(b"\0").decode(errors="replace")
        userdata = userdata[_UDATA.size + length :]
    return ""


def message(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """Return one request about nftables, or a batch's begin or end."""
    family, subsystem = NFPROTO_INET, 0
    if kind in (_BATCH_BEGIN, _BATCH_END):
        family, subsystem = _NFPROTO_UNSPEC, SUBSYS_NFTABLES
    return netlink.message(kind, flags, FAMILY_HEADER.pack(family, 0, subsystem) + payload, number)


def _elements(number: int, kind: Message, name: str, elements: bytes) -> bytes:
    flags = NLM_F_ACK | (_NLM_F_CREATE if kind is Message.NEWSETELEM else 0)
    payload = (
        attribute(List.TABLE, TABLE.encode() + b"\0")
        + attribute(List.SET, name.encode() + b"\0")
        + attribute(List.ELEMENTS | NLA_F_NESTED, elements)
    )
    return message(SUBSYS_NFTABLES << 8 | kind, flags, number, payload)


def _listed(content: bytes) -> bytes:
    return attribute(_LIST_ELEMENT | NLA_F_NESTED, content)


def _key(address: Address, port: int) -> bytes:
    # Each part of a concatenation fills whole 32-bit registers.
    value = address.packed + struct.pack(">Hxx", port)
    return attribute(ElementPart.KEY | NLA_F_NESTED, attribute(DATA_VALUE, value))
