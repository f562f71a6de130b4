"""What nftables holds of our table, over one netlink socket: to find what others changed.

Standard library only, for the reasons that nfnetlink.py gives.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Iterator

from enforcer.core.addresses import Address
from enforcer.core.judgement import Judgement, judgement
from enforcer.core.ruleset import TABLE
from enforcer.core.sets import SETS
from enforcer.core.table import ListedElement
from enforcer.edge.netlink import (  # noqa: TID251 - how messages are made
    FAMILY_HEADER,
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    aligned,
    attribute,
    attributes,
    by_type,
    opened,
    raise_unless_gone,
)
from enforcer.edge.nfmessages import (  # noqa: TID251 - what it sends
    DATA_VALUE,
    NFPROTO_INET,
    SUBSYS_NFTABLES,
    ElementPart,
    List,
    Message,
    comment_in,
    message,
)

_NLM_F_DUMP_INTR = 0x010  # linux/netlink.h
_TABLE_OF = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE
_CHAIN_NAME = 3  # NFTA_CHAIN_NAME
_CHAIN_OF = 2  # NFTA_RULE_CHAIN
# How much else refers to a table or chain: NFTA_TABLE_USE, NFTA_CHAIN_USE.
_USES = {Message.GETTABLE: 3, Message.GETCHAIN: 6}
_GENERATION = 1  # NFTA_GEN_ID
# NFTA_OBJ_*, NFT_OBJECT_COUNTER and NFTA_COUNTER_PACKETS.
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_TYPE, _OBJECT_DATA = 1, 2, 3, 4
_COUNTER = struct.pack(">I", 1)
_PACKETS = 2
# A part of a dump is never larger (netlink_dump() in net/netlink/af_netlink.c).
_RECEIVE = 1 << 16
# A listing during which others change nftables may be of neither state.
_ATTEMPTS = 4


class Listing:
    """Reads nftables of the network namespace it was made in.

    Raises:
        OSError: the kernel refuses; every method may.
    """

    def __init__(self) -> None:
        self._socket = opened()
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def generation(self) -> int:
        """Return a number that each transaction raises by one, whoever commits it.

        What the packet path adds, and what times out, is none.
        """
        (payload,) = (each for _, each in self._ask(Message.GETGEN, NLM_F_ACK, b""))
        return int(struct.unpack(">I", by_type(payload)[_GENERATION])[0])

    def counter(self, name: str) -> int | None:
        """Return the packets that the counter *name* of our table has; None if there is none."""
        wanted = attribute(_OBJECT_TABLE, TABLE.encode() + b"\0")
        wanted += attribute(_OBJECT_NAME, name.encode() + b"\0")
        wanted += attribute(_OBJECT_TYPE, _COUNTER)
        for _, payload in self._ask(Message.GETOBJ, NLM_F_ACK, wanted):
            counted = by_type(by_type(payload)[_OBJECT_DATA])
            return int.from_bytes(counted[_PACKETS], "big")
        return None

    def present(self) -> bool:
        """Tell whether there is a table of ours."""
        return any(True for _ in self._ours(Message.GETTABLE))

    def judgement(self) -> Judgement:
        """Return what decides about packets; at once, however many addresses are open."""
        chains: dict[str, list[bytes]] = {}
        for payload in self._ours(Message.GETCHAIN):
            chains.setdefault(_text(payload, _CHAIN_NAME), []).append(payload)
        for payload in self._ours(Message.GETRULE):
            chains.setdefault(_text(payload, _CHAIN_OF), []).append(payload)
        fixed = [each.resolvers for each in SETS.values()]
        return judgement(
            table=self._ours(Message.GETTABLE),
            chains=chains,
            sets={name: tuple(self._elements(name)) for name in fixed},
        )

    def _ours(self, kind: Message) -> Iterator[bytes]:
        named = attribute(_TABLE_OF, TABLE.encode() + b"\0")
        for payload in self._dump(kind, named):
            if _text(payload, _TABLE_OF) == TABLE:
                parts = (part for part in attributes(payload) if part[0] != _USES.get(kind))
                yield b"".join(attribute(*part) for part in parts)

    def open(self) -> frozenset[tuple[Address, int]]:
        """Return the addresses and ports that are open now."""
        return frozenset(
            _pair(element) for each in SETS.values() for element in self._elements(each.allow)
        )

    def held(self) -> tuple[ListedElement, ...]:
        """Return what is open now, until when and for whom."""
        found = (element for each in SETS.values() for element in self._elements(each.allow))
        return tuple(map(_listed, found))

    def _elements(self, name: str) -> Iterator[bytes]:
        wanted = attribute(List.TABLE, TABLE.encode() + b"\0")
        wanted += attribute(List.SET, name.encode() + b"\0")
        for payload in self._dump(Message.GETSETELEM, wanted):
            for _, element in attributes(by_type(payload).get(List.ELEMENTS, b"")):
                yield element

    def _dump(self, kind: Message, wanted: bytes) -> list[bytes]:
        for _ in range(_ATTEMPTS):
            found = list(self._ask(kind, NLM_F_DUMP, wanted))
            if not any(flags & _NLM_F_DUMP_INTR for flags, _ in found):
                break
        return [payload for _, payload in found]

    def _ask(self, kind: Message, flags: int, wanted: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield flags and attributes of each message that answers."""
        number = next(self._sequence) & 0xFFFFFFFF
        self._socket.send(message(SUBSYS_NFTABLES << 8 | kind, flags, number, wanted))
        while True:
            data = self._socket.recv(_RECEIVE)
            offset = 0
            while offset + HEADER.size <= len(data):
                length, found, told, sequence, _ = HEADER.unpack_from(data, offset)
                payload = data[offset + HEADER.size : offset + length]
                offset += aligned(length)
                if sequence != number:
                    continue  # of a listing that was given up
                if found in (NLMSG_ERROR, NLMSG_DONE):
                    if payload:
                        raise_unless_gone(payload)  # no table, or no such set
                    return
                # The header names the generation, and the family of each table.
                if payload[0] == NFPROTO_INET or kind is Message.GETGEN:
                    yield told, payload[FAMILY_HEADER.size :]


def _pair(element: bytes) -> tuple[Address, int]:
    value = by_type(by_type(element)[ElementPart.KEY])[DATA_VALUE]
    # Each part of a concatenation fills whole 32-bit registers.
    return ipaddress.ip_address(value[:-4]), int(struct.unpack(">H", value[-4:-2])[0])


def _listed(element: bytes) -> ListedElement:
    parts = by_type(element)
    left = parts.get(ElementPart.EXPIRATION)
    return ListedElement(
        *_pair(element),
        expires_s=None if left is None else struct.unpack(">Q", left)[0] / 1000,
        comment=comment_in(parts.get(ElementPart.USERDATA, b"")),
    )


def _text(payload: bytes, kind: int) -> str:
    return by_type(payload).get(kind, b"").rstrip(b"\0").decode()
