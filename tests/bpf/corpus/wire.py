"""DNS messages written octet by octet, right or wrong, as no library would."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

Labels: TypeAlias = tuple[bytes, ...]  # without the root's

HEADER = struct.Struct("!HHHHHH")  # RFC 1035 section 4.1.1
FIXED = struct.Struct("!HHIH")  # type, class, TTL, RDLENGTH
QR, TC, RD, RA = 0x8000, 0x0200, 0x0100, 0x0080
IN = 1
A, NS, CNAME, SOA, TXT, AAAA, DNAME, OPT, RRSIG, HTTPS, TSIG, ANY = (
    1, 2, 5, 6, 16, 28, 39, 41, 46, 65, 250, 255,
)  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A name, and how it is written.

    Attributes:
        compress: a pointer to where the longest part of it stands already.
        raw: these octets instead.
    """

    labels: Labels
    compress: bool = True
    raw: bytes | None = None


@dataclass(frozen=True)
class Record:
    """A resource record.

    Attributes:
        rdata: a name is written like any other.
        rdlength: what the record claims; None for the truth.
    """

    owner: Name
    rdtype: int
    rdata: Name | bytes
    ttl: int = 60
    rdclass: int = IN
    rdlength: int | None = None


@dataclass(frozen=True)
class Message:
    """A DNS message.

    Attributes:
        counts: what the header claims of the four sections; None for the truth.
        tail: octets after the last record.
    """

    qname: Name
    qtype: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    qclass: int = IN
    flags: int = QR | RD | RA
    questions: int = 1
    counts: tuple[int | None, ...] = (None, None, None, None)
    tail: bytes = b""
    id: int = 0x1234

    def to_wire(self) -> bytes:
        """Return the octets."""
        sections = self.answer, self.authority, self.additional
        real = self.questions, *map(len, sections)
        counts = (r if c is None else c for r, c in zip(real, self.counts, strict=True))
        writer = _Writer(HEADER.pack(self.id, self.flags, *counts))
        for _ in range(self.questions):
            writer.name(self.qname)
            writer.wire += struct.pack("!HH", self.qtype, self.qclass)
        for section in sections:
            for record in section:
                writer.record(record)
        return bytes(writer.wire) + self.tail


class _Writer:
    def __init__(self, header: bytes) -> None:
        self.wire = bytearray(header)
        self._places: dict[Labels, int] = {}

    def name(self, name: Name) -> None:
        if name.raw is not None:
            self.wire += name.raw
            return
        for i, label in enumerate(name.labels):
            rest = name.labels[i:]
            if name.compress and rest in self._places:
                self.wire += struct.pack("!H", 0xC000 | self._places[rest])
                return
            if len(self.wire) < 1 << 14:
                self._places.setdefault(rest, len(self.wire))
            # A label longer than 63 octets runs into the bits of other label types.
            self.wire += bytes([len(label) & 0xFF]) + label
        self.wire.append(0)

    def record(self, record: Record) -> None:
        self.name(record.owner)
        head = len(self.wire)
        self.wire += bytes(FIXED.size)
        if isinstance(record.rdata, Name):
            self.name(record.rdata)
        else:
            self.wire += record.rdata
        length = len(self.wire) - head - FIXED.size
        length = length if record.rdlength is None else record.rdlength
        FIXED.pack_into(self.wire, head, record.rdtype, record.rdclass, record.ttl, length)


def in_random_case(rng: Random, labels: Labels) -> Labels:
    """Return *labels* as clients ask for them that randomize the case."""
    return tuple(
        bytes(c ^ 0x20 if bytes([c]).isalpha() and rng.random() < 0.5 else c for c in label)
        for label in labels
    )


def damaged(rng: Random, wire: bytes, other: bytes) -> bytes:
    """Return *wire* with octets changed, cut out, or put in from *other*."""
    octets = bytearray(wire)
    for _ in range(rng.randint(1, 4)):
        place, size = rng.randrange(len(octets) + 1), rng.choice((1, 1, 2, 4, 10, 16))
        match rng.randrange(5):
            case 0:
                octets[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                octets[place : place + 1] = bytes([1 << rng.randrange(8) ^ _at(octets, place)])
            case 2:
                del octets[place : place + size]
            case 3:
                start = rng.randrange(len(other))
                octets[place:place] = other[start : start + size]
            case _:
                del octets[place:]
    return bytes(octets)


def _at(octets: bytearray, place: int) -> int:
    return octets[place] if place < len(octets) else 0


def with_record(message: Message, index: int, **changes: object) -> Message:
    """Return *message* with fields of one record of its answer changed."""
    answer = list(message.answer)
    answer[index] = replace(answer[index], **changes)  # type: ignore[arg-type]
    return replace(message, answer=tuple(answer))
