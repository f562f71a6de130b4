"""The kernel's table of connections, over a ctnetlink socket of its own.

Standard library only: pyroute2 0.9.7 spends 100 us on an entry, of which a busy
machine has 100,000. Hence, too, nothing is made of an entry that is not needed.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from enforcer.core.addresses import Address
from enforcer.core.destinations import Connection, Destination
from enforcer.core.labels import INSIDE_LABEL, RESUMED_LABEL, UNJUDGED_LABEL
from enforcer.edge.netlink import (  # noqa: TID251 - how messages are made
    FAMILY_HEADER,
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    by_type,
    failure_in,
    message,
    messages,
    opened,
    raise_unless_gone,
)
from enforcer.errors import DatapathError

# Messages of one send: each is answered before the next is read, and 1,024 answers, on some kernels
# 256, are more than the default receive buffer of 212,992 bytes holds.
_BATCH = 64
_READ = 1 << 17

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_DELETE = 1 << 8 | 2
_CHANGE = 1 << 8 | 0  # IPCTNL_MSG_CT_NEW, which makes none without NLM_F_CREATE
# enum ctattr_type
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE, _LABELS, _LABELS_MASK = 1, 2, 3, 12, 18, 22, 23
_TUPLE_IP, _TUPLE_PROTO = 1, 2  # enum ctattr_tuple
_SOURCES = {1: 4, 3: 16}  # enum ctattr_ip: CTA_IP_V4_SRC, CTA_IP_V6_SRC, and their sizes
_PROTO_NUMBER, _PROTO_SOURCE_PORT = 1, 2  # enum ctattr_l4proto

# Of the network namespace of whoever looks.
_ROOM = tuple(Path(f"/proc/sys/net/netfilter/nf_conntrack_{figure}") for figure in ("count", "max"))

_Attributes: TypeAlias = dict[int, bytes]  # by type
_PORT = struct.Struct(">H")
_FLAGS = struct.Struct(">I")
_WORD = struct.Struct("=I")
_UNJUDGED_BIT, _INSIDE_BIT, _RESUMED_BIT = (
    1 << label % 32 for label in (UNJUDGED_LABEL, INSIDE_LABEL, RESUMED_LABEL)
)
_WORDS = 4  # of labels: all are in the last one
_UNJUDGED = bytes(_WORD.size * (_WORDS - 1)) + _WORD.pack(_UNJUDGED_BIT)
_ASSURED = 1 << 2  # linux/netfilter/nf_conntrack_common.h: IPS_ASSURED

_HINT = "load the module nf_conntrack_netlink, or use a kernel with CONFIG_NF_CT_NETLINK"


def room(files: Sequence[Path] = _ROOM) -> tuple[int, int] | None:
    """Return how many connections are tracked, and how many can be; None: none ever is."""
    try:
        count, most = (int(each.read_text(encoding="ascii")) for each in files)
    except OSError:
        return None
    return count, most


def end_connections(unwanted: Callable[[Connection], bool]) -> int:
    """Have the packets of tracked connections that are *unwanted* judged like a first one.

    Those that a ruleset of ours labelled get the label of what nothing judged, and stay: where
    one is forgotten, whatever its other end sends makes a new one, which that end began. Others
    are forgotten. Entries of this network namespace only, of both families.

    Returns: how many there were.

    Raises:
        DatapathError: the kernel does not list or delete them.
    """
    try:
        with opened() as sock:
            # All are read before one is deleted, which would make the listing skip others.
            doomed = [
                (_labelling if connection.labelled or connection.resumed else _deletion)(
                    family, entry
                )
                for family in (socket.AF_INET, socket.AF_INET6)
                for entry in _listed(sock, family)
                if (connection := _connection(entry)) is not None
                and not _is_judged(entry)
                and unwanted(connection)
            ]
            # One that is refused, as what a flowtable has taken over, keeps none of the others.
            failures = [
                failure
                for start in range(0, len(doomed), _BATCH)
                for failure in _carry_out(sock, doomed[start : start + _BATCH])
            ]
            if failures:
                raise failures[0]
    except OSError as exc:
        raise DatapathError(f"connection tracking: {exc.strerror or exc}", _HINT) from exc
    return len(doomed)


def _listed(sock: socket.socket, family: int) -> Iterator[_Attributes]:
    """Yield the attributes of each entry."""
    sock.send(_message(_GET, NLM_F_DUMP, family, b""))
    while True:
        for kind, payload in messages(sock.recv(_READ)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise_unless_gone(payload)
            else:
                yield by_type(payload, FAMILY_HEADER.size)


def _carry_out(sock: socket.socket, requests: Sequence[bytes]) -> Iterator[OSError]:
    """Yield what was refused."""
    sock.send(b"".join(requests))
    answers = 0
    while answers < len(requests):
        for _, payload in messages(sock.recv(_READ)):
            answers += 1
            if failure := failure_in(payload):
                yield failure


def _connection(entry: _Attributes) -> Connection | None:
    asked = by_type(entry[_TUPLE_ORIG])
    # What answers is what it leads to; the tuple asked for may be translated.
    answer = by_type(entry[_TUPLE_REPLY])
    origin, source = _source(asked[_TUPLE_IP]), _source(answer[_TUPLE_IP])
    if origin is None or source is None:
        return None
    protocol = by_type(answer[_TUPLE_PROTO])
    port = protocol.get(_PROTO_SOURCE_PORT, b"\0\0")
    (flags,) = _FLAGS.unpack_from(entry[_STATUS])
    word = _word_of_label(entry)
    return Connection(
        origin,
        Destination(source, protocol[_PROTO_NUMBER][0], _PORT.unpack_from(port)[0]),
        assured=bool(flags & _ASSURED),
        labelled=bool(word & _INSIDE_BIT),
        resumed=bool(word & _RESUMED_BIT),
    )


def _is_judged(entry: _Attributes) -> bool:
    """Tell whether each packet of it that leaves is judged already."""
    word = _word_of_label(entry)
    return bool(word & _UNJUDGED_BIT and word & (_INSIDE_BIT | _RESUMED_BIT))


def _word_of_label(entry: _Attributes) -> int:
    if _LABELS not in entry:
        return 0
    found: int = _WORD.unpack_from(entry[_LABELS], INSIDE_LABEL // 32 * _WORD.size)[0]
    return found


def _deletion(family: int, entry: _Attributes) -> bytes:
    """Return the message that deletes *entry*, and no later one like it."""
    return _message(_DELETE, NLM_F_ACK, family, _name(entry))


def _labelling(family: int, entry: _Attributes) -> bytes:
    """Return the message that has each packet of it judged."""
    label = attribute(_LABELS, _UNJUDGED) + attribute(_LABELS_MASK, _UNJUDGED)
    return _message(_CHANGE, NLM_F_ACK, family, _name(entry) + label)


def _name(entry: _Attributes) -> bytes:
    return b"".join(
        attribute(kind | (NLA_F_NESTED if kind == _TUPLE_ORIG else 0), entry[kind])
        for kind in (_TUPLE_ORIG, _ZONE, _ID)
        if kind in entry
    )


@functools.lru_cache(maxsize=1024)
def _source(addresses: bytes) -> Address | None:
    found = by_type(addresses)
    sources = (found[kind][:size] for kind, size in _SOURCES.items() if kind in found)
    return next(map(ipaddress.ip_address, sources), None)


def _message(kind: int, flags: int, family: int, payload: bytes) -> bytes:
    return message(kind, flags, FAMILY_HEADER.pack(family, 0, 0) + payload)
