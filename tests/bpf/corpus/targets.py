"""Chains of aliases, right up to the last record, with one thing wrong in a target."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.bpf.corpus.plain import address, long_name
from tests.bpf.corpus.wire import CNAME, FIXED, HEADER, Message, Name, Record

POINTER_SIZE = 2
ASKED = HEADER.size  # where the name asked for stands


def pointer(place: int) -> bytes:
    """Return a compression pointer to *place* (RFC 1035 section 4.1.4)."""
    return (0xC000 | place & 0x3FFF).to_bytes(POINTER_SIZE, "big")


def strange_octets(rng: Random) -> bytes:
    """Return a pointer to anywhere, the header and forward included, or a reserved label type."""
    to = pointer(rng.choice((0, 2, 4, 11, 12, 13, 28, 40, 0x3FFF, rng.randrange(400))))
    reserved = bytes([rng.choice((0x40, 0x41, 0x7F, 0x80, 0xBF)), 1, 0])
    return rng.choice((to, b"\1a" + to, reserved, b"", b"\0", b"\x0aabc", b"\1a\0b", to + b"\0"))


def long_chain(rng: Random, message: Message) -> Message:
    """Answer with a chain of aliases: 13 to 20, or one that comes back."""
    length = rng.choice((2, 13, 14, 15, 16, 17, 20))
    names = [message.qname, *(Name((b"n%d" % i, b"net")) for i in range(length - 1))]
    last = rng.choice(names) if rng.random() < 0.3 else Name((b"end", b"net"))
    pairs = zip(names, [*names[1:], last], strict=True)
    chain = tuple(Record(owner, CNAME, target) for owner, target in pairs)
    rdata = address(rng, message.qtype)
    return replace(message, answer=(*chain, Record(last, message.qtype, rdata)))


def long_pointers(rng: Random, message: Message) -> Message:
    """Answer with aliases whose TTLs are pointers, two each, that the last target goes through."""
    answer, owner, last = [], pointer(ASKED), ASKED
    place = _first_record(message)
    for i in range(rng.choice((6, 7, 8, 9))):
        ttl = place + POINTER_SIZE + 4  # behind owner, type and class
        hops = int.from_bytes(pointer(last) + pointer(ttl), "big")
        last = ttl + POINTER_SIZE
        target = b"\1%c\0" % (97 + i)
        answer.append(Record(Name((), raw=owner), CNAME, target, hops))
        owner = pointer(place + POINTER_SIZE + FIXED.size)
        place += POINTER_SIZE + FIXED.size + len(target)
    answer.append(Record(Name((), raw=owner), CNAME, b"\1z" + pointer(last)))
    owner = pointer(place + POINTER_SIZE + FIXED.size)
    answer.append(Record(Name((), raw=owner), message.qtype, address(rng, message.qtype)))
    return replace(message, answer=tuple(answer))


def strange_target(rng: Random, message: Message) -> Message:
    """Answer with an alias to a strange name, and with an address for wherever that stands."""
    rdata = _first_record(message) + POINTER_SIZE + FIXED.size
    near = pointer(rdata + rng.choice((-14, -12, -2, -1, 0, 1, 2, 3, 20)))
    size = rng.choice((63, 100, 200, 254, 255, 256, 257))
    long = b"".join(bytes([len(part)]) + part for part in long_name(rng, (), size))
    target = rng.choice(
        (
            strange_octets(rng),
            near,
            b"\1a" + near,
            long + b"\0",
            long + pointer(ASKED),
            b"\1a" * rng.randint(100, 128) + b"\0",
        )
    )
    owner = pointer(rdata)
    if target[:1] >= b"\xc0" and rng.random() < 0.5:
        owner = target[:POINTER_SIZE]
    alias = Record(message.qname, CNAME, target)
    found = Record(Name((), raw=owner), message.qtype, address(rng, message.qtype))
    return replace(message, answer=(alias, found))


def _first_record(message: Message) -> int:
    """Return where the answer section begins."""
    return ASKED + sum(len(part) + 1 for part in message.qname.labels) + 1 + 4
