"""Answers as nobody should send them: plain ones with some of these oddities each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeAlias

from tests.bpf.corpus.plain import TTLS, address, label, long_name, plain, qname
from tests.bpf.corpus.targets import long_chain, long_pointers, strange_octets, strange_target
from tests.bpf.corpus.wire import (
    AAAA,
    ANY,
    CNAME,
    DNAME,
    HTTPS,
    IN,
    NS,
    OPT,
    QR,
    RRSIG,
    SOA,
    TC,
    TSIG,
    TXT,
    A,
    Labels,
    Message,
    Name,
    Record,
    damaged,
    in_random_case,
    with_record,
)  # fmt: skip

Oddity: TypeAlias = Callable[[Random, Message], Message]

TYPES = (A, AAAA, CNAME, NS, SOA, TXT, DNAME, OPT, RRSIG, HTTPS, TSIG, ANY, 0, 65535)
CLASSES = (IN, 3, 4, 254, 255, 0, 0x8001)  # CH, HS, NONE, ANY, none, mDNS's cache flush
# A dot, a NUL, a high octet or a space inside a label, a wildcard, an escape.
STRANGE_LABELS = (b"a.b", b"\0", b"\xff\xe9", b" ", b"*", b"\\046", b"x" * 63, b"y" * 64)


def name(rng: Random, message: Message) -> Name:
    """Return any name, written in any way."""
    known = [message.qname.labels, *(record.owner.labels for record in message.answer)]
    known += [r.rdata.labels for r in message.answer if isinstance(r.rdata, Name)]
    labels: Labels = rng.choice(known)
    match rng.randrange(8):
        case 0:
            labels = (label(rng), *labels[1:])
        case 1:
            labels = (rng.choice(STRANGE_LABELS), *labels)
        case 2:
            labels = long_name(rng, labels[-2:], rng.choice((253, 254, 255, 256, 257)))
        case 3:
            return Name(labels, raw=strange_octets(rng))
        case 4:
            labels = labels[rng.randrange(len(labels) + 1) :]
        case _:
            labels = in_random_case(rng, labels)
    return Name(labels, compress=rng.random() < 0.6)


def _rdata(rng: Random, message: Message, rdtype: int) -> Name | bytes:
    if rdtype in {A, AAAA}:
        return address(rng, rdtype)
    if rdtype in {CNAME, DNAME, NS}:
        return name(rng, message)
    if rdtype == HTTPS:  # the name itself, ipv4hint
        return bytes.fromhex("0001 00 0004 0004") + address(rng, A)
    return bytes(rng.randrange(256) for _ in range(rng.choice((0, 4, 16, 24))))


def another_record(rng: Random, message: Message) -> Message:
    """Put a record of any kind anywhere into the answer."""
    rdtype = rng.choice((A, AAAA, CNAME, A, AAAA, CNAME, *TYPES))
    owner = rng.choice([r.owner for r in message.answer] or [message.qname])
    if rng.random() < 0.5:
        owner = name(rng, message)
    record = Record(owner, rdtype, _rdata(rng, message, rdtype), rng.choice(TTLS))
    place = rng.randint(0, len(message.answer))
    answer = (*message.answer[:place], record, *message.answer[place:])
    return replace(message, answer=answer)


def changed_record(rng: Random, message: Message) -> Message:
    """Make one field of a record something else."""
    if not message.answer:
        return another_record(rng, message)
    index = rng.choice((0, len(message.answer) - 1, rng.randrange(len(message.answer))))
    values: dict[str, Callable[[], object]] = {
        "owner": lambda: name(rng, message),
        "rdtype": lambda: rng.choice(TYPES),
        "rdclass": lambda: rng.choice(CLASSES),
        "rdata": lambda: _rdata(rng, message, rng.choice(TYPES)),
        "rdlength": lambda: rng.choice((0, 1, 2, 3, 4, 5, 15, 16, 17, 65535)),
        "ttl": lambda: rng.choice(TTLS),
    }
    field = rng.choice(tuple(values))
    return with_record(message, index, **{field: values[field]()})


def another_order(rng: Random, message: Message) -> Message:
    """Shuffle the answer, turn it round, repeat part of it."""
    answer = list(message.answer)
    match rng.randrange(3):
        case 0:
            rng.shuffle(answer)
        case 1:
            answer.reverse()
        case _:
            answer += answer[rng.randrange(len(answer) + 1) :]
    return replace(message, answer=tuple(answer))


def another_section(rng: Random, message: Message) -> Message:
    """Swap the answer with another section."""
    if rng.random() < 0.5:
        return replace(message, answer=message.authority, authority=message.answer)
    return replace(message, answer=message.additional, additional=message.answer)


def lying_counts(rng: Random, message: Message) -> Message:
    """Claim other numbers of records."""
    real = (message.questions, len(message.answer), len(message.authority), len(message.additional))
    counts: list[int | None] = [None] * 4
    for _ in range(rng.randint(1, 2)):
        section = rng.choice((1, 1, 0, 2, 3))
        counts[section] = rng.choice((0, max(real[section] - 1, 0), real[section] + 1, 65535))
    return replace(message, counts=tuple(counts))


def another_question(rng: Random, message: Message) -> Message:
    """Ask for something else, in another class, never or twice."""
    match rng.randrange(5):
        case 0:
            return replace(message, qtype=rng.choice(TYPES))
        case 3:  # a dot inside a label looks like two labels
            labels = message.qname.labels
            joined = (b".".join(labels[:2]), *labels[2:])
            return _owned_by(message, Name(joined))
        case 1:
            return replace(message, qclass=rng.choice(CLASSES))
        case 2:
            return replace(message, questions=rng.choice((0, 2)))
        case _:
            return replace(message, qname=rng.choice((name(rng, message), Name(qname(rng)))))


def _owned_by(message: Message, qname: Name) -> Message:
    """Return *message* with another name asked for, and what belongs to that renamed too."""
    answer = (
        replace(record, owner=qname) if record.owner == message.qname else record
        for record in message.answer
    )
    return replace(message, qname=qname, answer=tuple(answer))


def another_header(rng: Random, message: Message) -> Message:
    """Set TC, an RCODE, an opcode; clear QR."""
    opcode, rcode = rng.randrange(16) << 11, rng.randrange(16)
    return replace(message, flags=message.flags ^ rng.choice((TC, QR, opcode, rcode)))


def many(rng: Random, message: Message) -> Message:
    """Answer with about as many addresses as the kernel takes of one message."""
    owner = message.answer[-1].owner if message.answer else message.qname
    chain = tuple(record for record in message.answer if record.rdtype == CNAME)
    ttls = [300] * rng.randint(140, 149) + [rng.choice(TTLS)]
    return replace(
        message, answer=(*chain, *(Record(owner, A, address(rng, A), ttl) for ttl in ttls)), qtype=A
    )


def behind(rng: Random, message: Message) -> Message:
    """Put octets after the message."""
    return replace(message, tail=bytes(rng.randrange(256) for _ in range(rng.randint(1, 30))))


ODDITIES: tuple[Oddity, ...] = (
    another_record,
    another_record,
    changed_record,
    changed_record,
    changed_record,
    another_order,
    another_section,
    lying_counts,
    another_question,
    another_question,
    another_header,
    many,
    long_chain,
    long_pointers,
    strange_target,
    strange_target,
    behind,
)


def odd(rng: Random) -> bytes:
    """Return a message with one to three oddities, or damaged, or both."""
    message = plain(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        message = rng.choice(ODDITIES)(rng, message)
    wire = message.to_wire()
    if rng.random() < 0.4:
        wire = damaged(rng, wire, plain(rng).to_wire())
    return wire
