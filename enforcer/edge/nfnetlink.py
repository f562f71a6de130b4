"""Elements of our sets over one netlink socket: the firewall's fast half.

Standard library only. pyroute2 0.9.7 makes a transaction of its own of every
set_elems(), spends 110 us on an element, and waits for ever for the answer to a
transaction that is refused as a whole: that answer (EPERM, ENOMEM) carries the
sequence number of the batch's begin.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Sequence
from enum import IntEnum
from errno import ENOENT

from enforcer.core.addresses import Address
from enforcer.core.elements import TimedElement
from enforcer.core.ruleset import TABLE
from enforcer.core.sets import SETS

# A message is one netlink attribute deep inside, of at most 65,535 bytes, and an
# IPv6 element with the longest comment takes 180. Three messages of this many
# elements also fit the default send buffer of 212,992 bytes.
BATCH_MAX = 256

# linux/netlink.h
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
NLMSG_ERROR = 2
_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
_NLM_F_CREATE = 0x400
_NLA_F_NESTED = 0x8000

# linux/netfilter/nfnetlink.h, linux/netfilter.h
NETLINK_NETFILTER = 12
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
SUBSYS_NFTABLES = 10
_NFPROTO_UNSPEC = 0
NFPROTO_INET = 1

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
FAMILY_HEADER = struct.Struct(">BBH")  # family, version, subsystem
ATTRIBUTE = struct.Struct("=HH")  # length, type


class Message(IntEnum):
    """linux/netfilter/nf_tables.h: enum nf_tables_msg_types."""

    GETTABLE = 1
    GETCHAIN = 4
    GETRULE = 7
    NEWSETELEM = 12
    GETSETELEM = 13
    DELSETELEM = 14
    GETGEN = 16


class List(IntEnum):
    """enum nft_set_elem_list_attributes."""

    TABLE = 1
    SET = 2
    ELEMENTS = 3


class ElementPart(IntEnum):
    """enum nft_set_elem_attributes."""

    KEY = 1
    TIMEOUT = 4
    USERDATA = 6


LIST_ELEMENT = 1  # enum nft_list_attributes: NFTA_LIST_ELEM
DATA_VALUE = 1  # enum nft_data_attributes: NFTA_DATA_VALUE
_UDATA_COMMENT = 0  # libnftnl/udata.h: NFTNL_UDATA_SET_ELEM_COMMENT

_Part = tuple[Message, str, bytes]


class Refused(Exception):
    """The kernel refused a transaction; nothing of it took effect.

    Attributes:
        errno: why.
        by_item: an element may be the reason; otherwise it is the batch as such
            or a set that does not exist.
    """

    def __init__(self, errno: int, *, by_item: bool) -> None:
        super().__init__(errno)
        self.errno = errno
        self.by_item = by_item


class ElementSocket:
    """Changes elements, a transaction a call.

    It speaks to the network namespace in which it was made, from any thread,
    but one call at a time.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        # Or every error carries a copy of the message it is about.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def replace(self, elements: Sequence[TimedElement]) -> None:
        """Make *elements*, at most BATCH_MAX, exactly as given, whatever was there.

        A lookup sees the old element or the new one, never neither.

        Raises:
            Refused: nothing was changed.
        """
        # Adding alone never changes the comment of an element that exists, such
        # as one the packet path added. Before Linux kernel commit 4201f3938914
        # ("netfilter: nf_tables: set element timeout update support") (in
        # v6.12) it does not change the timeout either. Deleting first fails for
        # one that does not exist, so: add, delete, add.
        parts: list[_Part] = []
        for version, names in SETS.items():
            own = [element for element in elements if element.address.version == version]
            if own:
                full = b"".join(map(_timed, own))
                bare = b"".join(_listed(_key(each.address, each.port)) for each in own)
                parts += (
                    (Message.NEWSETELEM, names.allow, full),
                    (Message.DELSETELEM, names.allow, bare),
                    (Message.NEWSETELEM, names.allow, full),
                )
        self._commit(parts)

    def delete(self, keys: Sequence[tuple[Address, int]]) -> None:
        """Delete the elements of these addresses and ports, at most BATCH_MAX, if they exist.

        Raises:
            Refused: nothing was changed.
        """
        # One that does not exist would fail the others too, and each transaction
        # that fails costs the kernel a grace period of RCU: with a thousand of them
        # expired, a minute. So: add, delete; no lookup sees what was added.
        parts: list[_Part] = []
        for version, names in SETS.items():
            bare = b"".join(_listed(_key(*key)) for key in keys if key[0].version == version)
            if bare:
                parts += (
                    (Message.NEWSETELEM, names.allow, bare),
                    (Message.DELSETELEM, names.allow, bare),
                )
        try:
            self._commit(parts)
        except Refused as exc:
            if exc.by_item or exc.errno != ENOENT:
                raise  # else there is no table either

    def _commit(self, parts: Sequence[_Part]) -> None:
        if not parts:
            return
        begin, *numbers, end = (next(self._sequence) & 0xFFFFFFFF for _ in range(len(parts) + 2))
        batch = b"".join(
            (
                message(_BATCH_BEGIN, 0, begin, b""),
                *(
                    _elements_message(number, *part)
                    for number, part in zip(numbers, parts, strict=True)
                ),
                message(_BATCH_END, 0, end, b""),
            )
        )
        self._socket.send(batch)
        answers = self._answers()
        # What is refused as a whole is answered in the name of its beginning.
        if errno := answers.get(begin):
            raise Refused(errno, by_item=False)
        for number, (kind, _, _) in zip(numbers, parts, strict=True):
            if number not in answers:
                raise OSError("the kernel did not answer")
            if errno := answers[number]:
                no_set = kind is Message.NEWSETELEM and errno == ENOENT
                raise Refused(errno, by_item=not no_set)

    def _answers(self) -> dict[int, int]:
        """Return the error number, 0 for none, of each message that was answered.

        The kernel carries out a batch within send(): all answers are there.
        """
        answers: dict[int, int] = {}
        while True:
            try:
                data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return answers
            offset = 0
            while offset + HEADER.size <= len(data):
                length, kind, _, number, _ = HEADER.unpack_from(data, offset)
                if kind == NLMSG_ERROR:
                    answers[number] = -struct.unpack_from("=i", data, offset + HEADER.size)[0]
                offset += aligned(length)


def message(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """Return one request about nftables, or a batch's begin or end."""
    family, subsystem = NFPROTO_INET, 0
    if kind in (_BATCH_BEGIN, _BATCH_END):
        family, subsystem = _NFPROTO_UNSPEC, SUBSYS_NFTABLES
    body = FAMILY_HEADER.pack(family, 0, subsystem) + payload
    return HEADER.pack(HEADER.size + len(body), kind, flags | _NLM_F_REQUEST, number, 0) + body


def _elements_message(number: int, kind: Message, name: str, elements: bytes) -> bytes:
    flags = _NLM_F_ACK | (_NLM_F_CREATE if kind is Message.NEWSETELEM else 0)
    payload = (
        attribute(List.TABLE, TABLE.encode() + b"\0")
        + attribute(List.SET, name.encode() + b"\0")
        + attribute(List.ELEMENTS | _NLA_F_NESTED, elements)
    )
    return message(SUBSYS_NFTABLES << 8 | kind, flags, number, payload)


def _timed(element: TimedElement) -> bytes:
    content = _key(element.address, element.port)
    content += attribute(ElementPart.TIMEOUT, struct.pack(">Q", element.timeout_ms))
    if element.comment:
        text = element.comment.encode() + b"\0"
        userdata = struct.pack("BB", _UDATA_COMMENT, len(text)) + text
        content += attribute(ElementPart.USERDATA, userdata)
    return _listed(content)


def _listed(content: bytes) -> bytes:
    return attribute(LIST_ELEMENT | _NLA_F_NESTED, content)


def _key(address: Address, port: int) -> bytes:
    # Each part of a concatenation fills whole 32-bit registers.
    value = address.packed + struct.pack(">Hxx", port)
    return attribute(ElementPart.KEY | _NLA_F_NESTED, attribute(DATA_VALUE, value))


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded."""
    length = ATTRIBUTE.size + len(payload)
    return ATTRIBUTE.pack(length, kind) + payload + bytes(aligned(length) - length)


def aligned(length: int) -> int:
    """Return where the next message or attribute begins."""
    return (length + 3) & ~3
