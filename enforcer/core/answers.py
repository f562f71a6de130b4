"""DNS answers: from a message on the wire to the addresses its question was answered with.

Pure: no I/O, no clock. Lenient in form (any record order, any compression),
strict in meaning: an address counts only where the CNAME chain from QNAME
leads to it. Whatever the kernel learns from a message (bpf/records.h), this must
find in it too: tests/bpf/test_corpus.py.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

from enforcer.core.addresses import Address
from enforcer.errors import MalformedAnswer

# Owners move hosts before a long TTL has run out, and common resolvers keep
# nothing for longer (unbound's cache-max-ttl).
MAX_TTL_S = 86_400


@dataclass(frozen=True)
class Answer:
    """What one DNS message says about its question.

    Attributes:
        qname: the name asked for, absolute and in lower case.
        addresses: those of the RRset at the end of the CNAME chain from
            *qname*; none after NXDOMAIN, NODATA, a truncated answer, or a
            question for anything but A or AAAA.
        ttl_s: the smallest TTL of that chain and RRset, at most MAX_TTL_S; 0 without
            addresses.
        truncated: it did not come whole: whoever needs the addresses looks the
            name up.
    """

    qname: dns.name.Name
    addresses: tuple[Address, ...]
    ttl_s: int
    truncated: bool


def parse(wire: bytes, *, cut: bool = False) -> Answer:
    """Parse the DNS response in *wire*.

    Only the answer section, class IN and what the CNAME chain reaches counts.
    A TTL above 2**31 - 1 is 0 (RFC 2181 section 8). Like the stub resolvers of
    glibc and musl, and like the kernel, this reads nothing behind the answer
    section, an extended RCODE (RFC 6891) included.

    Args:
        wire: the message, without the length that precedes it over TCP.
        cut: it goes on beyond *wire*, which counts as truncated.

    Raises:
        MalformedAnswer: if it isn't the response to one standard query of class
            IN, if its RCODE is neither NOERROR nor NXDOMAIN, if it doesn't
            parse, if the chain is longer than dnspython follows or loops.
    """
    truncated = cut or bool(int.from_bytes(wire[2:4], "big") & dns.flags.TC)
    try:
        # A truncated message may end anywhere: only its question is read.
        # keyring=False: a TSIG is for the client that has the key to check it.
        message = dns.message.from_wire(
            _without_tail(wire), keyring=False, question_only=truncated, ignore_trailing=True
        )
        response = _checked(message)
        qname = response.question[0].name.canonicalize()
        if truncated:
            return Answer(qname, (), 0, truncated=True)
        chain = response.resolve_chaining()
    except dns.exception.DNSException as exc:
        raise MalformedAnswer(f"DNS answer can't be understood: {exc}") from exc
    addresses = _addresses(chain.answer)
    ttl_s = min(chain.minimum_ttl, MAX_TTL_S) if addresses else 0
    return Answer(qname, addresses, ttl_s, truncated=False)


def _without_tail(wire: bytes) -> bytes:
    """Return *wire* with empty authority and additional sections (RFC 1035 section 4.1.1)."""
    return wire[:8] + bytes(len(wire[8:12])) + wire[12:]


def _checked(message: dns.message.Message) -> dns.message.QueryMessage:
    """Return *message* if it is the response to one standard query that there is an answer to."""
    if not isinstance(message, dns.message.QueryMessage) or not message.flags & dns.flags.QR:
        raise MalformedAnswer("DNS message is no answer to a standard query")
    if len(message.question) != 1:
        raise MalformedAnswer(f"DNS answer has {len(message.question)} questions")
    if message.question[0].rdclass != dns.rdataclass.IN:
        raise MalformedAnswer(f"DNS answer is of class {message.question[0].rdclass}, not IN")
    rcode = message.rcode()
    if rcode not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        raise MalformedAnswer(f"DNS answer says {dns.rcode.to_text(rcode)}")
    return message


def _addresses(rrset: dns.rrset.RRset | None) -> tuple[Address, ...]:
    addresses: list[Address] = []
    for rdata in rrset or ():
        if isinstance(rdata, dns.rdtypes.IN.A.A):
            addresses.append(ipaddress.IPv4Address(rdata.address))
        elif isinstance(rdata, dns.rdtypes.IN.AAAA.AAAA):
            addresses.append(ipaddress.IPv6Address(rdata.address))
    return tuple(addresses)
