"""Answers as resolvers send them: a chain in order, an RRset, compressed owners."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from random import Random

from enforcer.core.addresses import NAT64, NEVER_LEARNED, PRIVATE, Address, own_networks
from tests.bpf.conftest import OWN
from tests.bpf.corpus.wire import (
    AAAA,
    CNAME,
    NS,
    OPT,
    QR,
    RA,
    RD,
    SOA,
    A,
    Labels,
    Message,
    Name,
    Record,
    in_random_case,
)  # fmt: skip

SIZE_MAX = 3400  # older kernels run a program on one page, the skb's own needs included
HOSTS: tuple[Labels, ...] = (
    (b"registry", b"test"),
    (b"inside", b"test"),
    (b"a", b"cdn", b"test"),
    (b"_b-2", b"x", b"cdn", b"test"),
)
STRANGERS: tuple[Labels, ...] = (
    (b"cdn", b"test"),
    (b"evil", b"example"),
    (b"registry", b"test", b"evil", b"example"),
    (b"xregistry", b"test"),
    (b"test",),
)
TTLS = (0, 1, 59, 60, 61, 300, 86399, 86400, 86401, 2**31 - 1, 2**31, 2**32 - 1)
FLAGS = (0, 0, 0, 0x0400, 0x0020, 0x0010, 0x0430)  # none mostly; AA, AD, CD


def borders() -> tuple[Address, ...]:
    """Return the addresses just outside and just inside of each special network."""
    found: list[Address] = []
    for network in (*NEVER_LEARNED, *PRIVATE, *own_networks([ip_address(OWN)]), NAT64):
        for value in (-1, 0, network.num_addresses - 1, network.num_addresses):
            place = int(network.network_address) + value
            if 0 <= place < 1 << network.max_prefixlen:
                found.append(type(network.network_address)(place))
    return tuple(found)


SPECIAL = {
    version: tuple(a.packed for a in borders() if a.version == version) for version in (4, 6)
}


def address(rng: Random, rdtype: int) -> bytes:
    """Return the RDATA of an address record: any address, or one that matters."""
    version, size = (4, 4) if rdtype == A else (6, 16)
    choice = rng.random()
    if choice < 0.35:
        return rng.choice(SPECIAL[version])
    if choice < 0.9:
        world = b"\xcb\x00\x71" if version == 4 else b"\x20\x01\x0d\xb8" + bytes(11)
        return world + bytes([rng.randrange(256)])
    if choice < 0.95 and version == 6:
        return NAT64.network_address.packed[:12] + address(rng, A)
    return bytes(rng.randrange(256) for _ in range(size))


def label(rng: Random, longest: int = 12) -> bytes:
    """Return a label of host name characters."""
    letters = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
    return bytes(rng.choice(letters) for _ in range(rng.randint(1, longest)))


def long_name(rng: Random, suffix: Labels, size: int) -> Labels:
    """Return a name under *suffix* of *size* octets on the wire, the root label included."""
    labels = suffix
    left = size - 1 - sum(len(part) + 1 for part in suffix)
    while left > 1:
        length = min(left - 1, 63)
        length -= left - 1 - length == 1  # what is left must hold a label
        labels = (bytes(rng.choice(b"abcxyz") for _ in range(length)), *labels)
        left -= length + 1
    return labels


def qname(rng: Random) -> Labels:
    """Return a name to ask for, permitted mostly."""
    choice = rng.random()
    if choice < 0.8:
        labels = rng.choice(HOSTS)
    elif choice < 0.85:
        labels = (label(rng, 63), b"cdn", b"test")
    elif choice < 0.9:
        labels = long_name(rng, (b"cdn", b"test"), rng.randint(200, 255))
    else:
        labels = rng.choice(STRANGERS)
    return in_random_case(rng, labels) if rng.random() < 0.3 else labels


def targets(rng: Random, number: int, asked: Labels, *, compress: bool) -> list[Labels]:
    """Return different names for a chain of aliases; long chains have short names."""
    suffixes: list[Labels] = [(b"test",), (b"cdn", b"example"), (b"net",), asked[1:]]
    seen = {tuple(part.lower() for part in asked)}
    found: list[Labels] = []
    while len(found) < number:
        labels = (label(rng), *rng.choice(suffixes)[-3:])
        if number <= 2 and rng.random() < 0.1:
            labels = long_name(rng, (b"net",), rng.randint(200, 255))
            if compress and rng.random() < 0.5:
                labels = (b"test",)  # stands in the question already: a pointer alone
        key = tuple(part.lower() for part in labels)
        if key not in seen:
            seen.add(key)
            found.append(labels)
            suffixes.append(labels[-3:])
    return found


def plain(rng: Random) -> Message:
    """Return an answer that the kernel and user space must read alike, if it fits."""
    asked, rdtype = qname(rng), rng.choice((A, AAAA))
    compress = rng.random() < 0.7  # or like dnsmasq, where names in RDATA are whole
    length = rng.choice((0, 0, 0, 1, 1, 2, 3, rng.randint(4, 15)))
    chain = targets(rng, length, asked, compress=compress)
    owner, answer = Name(asked), []
    for target in chain:
        rdata = Name(target, compress)
        answer.append(Record(owner, CNAME, rdata, rng.choice(TTLS)))
        owner = Name(target)
    number = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 5, 8)) if rng.random() < 0.98 else 110
    answer += [Record(owner, rdtype, address(rng, rdtype), rng.choice(TTLS)) for _ in range(number)]
    authority, additional = _tail(rng, asked)
    flags = QR | RD | RA | rng.choice(FLAGS)
    tail = b"behind" if rng.random() < 0.02 else b""
    return Message(
        Name(asked), rdtype, tuple(answer), authority, additional, flags=flags, tail=tail
    )


def _tail(rng: Random, asked: Labels) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Return records behind the answer section, which must not matter."""
    authority: list[Record] = []
    additional: list[Record] = []
    zone = Name(asked[1:])
    if rng.random() < 0.1:
        authority.append(Record(zone, NS, Name((b"ns", *asked[1:]))))
        additional.append(Record(Name((b"ns", *asked[1:])), A, address(rng, A)))
    if rng.random() < 0.1:
        soa = b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 5)
        authority.append(Record(zone, SOA, soa, rng.choice(TTLS)))
    if rng.random() < 0.05:  # glue for the name itself
        additional.append(Record(Name(asked), A, address(rng, A)))
    if rng.random() < 0.4:
        additional.append(Record(Name(()), OPT, b"", 0, 1232))
    return tuple(authority), tuple(additional)
