"""What nftables holds of our table, over one netlink socket: to find what others changed.

Standard library only, for the reasons that nfnetlink.py gives.
"""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.chains import JUDGING_CHAINS, missing_chains
from enforcer.core.ruleset import TABLE
from enforcer.core.sets import SETS
from enforcer.edge.nfmessages import (  # noqa: TID251 - what it sends
    ATTRIBUTE,
    DATA_VALUE,
    FAMILY_HEADER,
    HEADER,
    NETLINK_NETFILTER,
    NFPROTO_INET,
    NLM_F_ACK,
    NLMSG_ERROR,
    SUBSYS_NFTABLES,
    ElementPart,
    List,
    Message,
    aligned,
    attribute,
    message,
)

_NLMSG_DONE = 3
_NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x300, 0x010
_TYPE_MASK = 0x3FFF
_TABLE_OF = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE
_CHAIN_NAME = 3  # NFTA_CHAIN_NAME
_GENERATION = 1  # NFTA_GEN_ID
_TIMEOUT_S = 10.0
# A part of a dump is never larger (netlink_dump() in net/netlink/af_netlink.c).
_RECEIVE = 1 << 16
# A listing during which others change nftables may be of neither state.
_ATTEMPTS = 4


@dataclass(frozen=True)
class Judgement:
    """All of our table that decides about packets, but the addresses that answers opened.

    Attributes:
        chains: names of the chains.
        parts: the table, chains and rules, as the kernel tells them.
        elements: of the sets of networks and resolvers, likewise.
    """

    chains: frozenset[str]
    parts: tuple[bytes, ...]
    elements: frozenset[tuple[str, bytes]]

    @property
    def judges(self) -> bool:
        """Whether packets of the machine and of its containers come here."""
        return self.chains >= set(JUDGING_CHAINS)

    @property
    def whole(self) -> bool:
        """Whether it has all the chains that belong to one like it."""
        return not missing_chains(self.chains.__contains__)


class Listing:
    """Reads nftables of the network namespace it was made in.

    Raises:
        OSError: the kernel refuses; every method may.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def generation(self) -> int:
        """Return a number that each transaction raises by one, whoever commits it.

        What the packet path adds, and what times out, is none.
        """
        (payload,) = (each for _, each in self._ask(Message.GETGEN, NLM_F_ACK, b""))
        return int(struct.unpack(">I", dict(_attributes(payload))[_GENERATION])[0])

    def judgement(self) -> Judgement:
        """Return what decides about packets; at once, however many addresses are open."""
        named = attribute(_TABLE_OF, TABLE.encode() + b"\0")
        parts = {
            kind: [
                payload
                for payload in self._dump(kind, named)
                if dict(_attributes(payload)).get(_TABLE_OF) == TABLE.encode() + b"\0"
            ]
            for kind in (Message.GETTABLE, Message.GETCHAIN, Message.GETRULE)
        }
        chains = (dict(_attributes(each))[_CHAIN_NAME] for each in parts[Message.GETCHAIN])
        fixed = [name for each in SETS.values() for name in (each.networks, each.resolvers)]
        return Judgement(
            chains=frozenset(name.rstrip(b"\0").decode() for name in chains),
            parts=tuple(each for kind in parts for each in parts[kind]),
            elements=frozenset((name, each) for name in fixed for each in self._elements(name)),
        )

    def open(self) -> frozenset[tuple[Address, int]]:
        """Return the addresses and ports that are open now."""
        return frozenset(
            _pair(element) for each in SETS.values() for element in self._elements(each.allow)
        )

    def _elements(self, name: str) -> Iterator[bytes]:
        wanted = attribute(List.TABLE, TABLE.encode() + b"\0")
        wanted += attribute(List.SET, name.encode() + b"\0")
        for payload in self._dump(Message.GETSETELEM, wanted):
            for _, element in _attributes(dict(_attributes(payload)).get(List.ELEMENTS, b"")):
                yield element

    def _dump(self, kind: Message, wanted: bytes) -> list[bytes]:
        for _ in range(_ATTEMPTS):
            found = list(self._ask(kind, _NLM_F_DUMP, wanted))
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
                if found in (NLMSG_ERROR, _NLMSG_DONE):
                    code = -struct.unpack_from("=i", payload)[0] if payload else 0
                    if code not in (0, errno.ENOENT):  # no table, or no such set
                        raise OSError(code, os.strerror(code))
                    return
                # The header names the generation, and the family of each table.
                if payload[0] == NFPROTO_INET or kind is Message.GETGEN:
                    yield told, payload[FAMILY_HEADER.size :]


def _pair(element: bytes) -> tuple[Address, int]:
    value = dict(_attributes(dict(_attributes(element))[ElementPart.KEY]))[DATA_VALUE]
    # Each part of a concatenation fills whole 32-bit registers.
    return ipaddress.ip_address(value[:-4]), int(struct.unpack(">H", value[-4:-2])[0])


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += aligned(length)
