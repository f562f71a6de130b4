"""What a DNS message may and may not say about its question."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.core.answers import Answer, parse
from enforcer.errors import MalformedAnswer

QNAME = "registry.example."


def response(
    *records: str,
    question: str = f"{QNAME} IN A",
    authority: Iterable[str] = (),
    additional: Iterable[str] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: int = 0,
) -> dns.message.Message:
    """Return a response whose sections hold *records* in exactly this order."""
    name, rdclass, rdtype = question.split()
    message = dns.message.make_response(dns.message.make_query(name, rdtype, rdclass))
    message.set_rcode(rcode)
    message.flags |= flags
    for section, texts in (
        (message.answer, records),
        (message.authority, authority),
        (message.additional, additional),
    ):
        for text in texts:
            owner, ttl, rrclass, rrtype, rdata = text.split(maxsplit=4)
            section.append(dns.rrset.from_text(owner, int(ttl), rrclass, rrtype, rdata))
    return message


def addresses(*texts: str) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return *texts* as addresses."""
    return frozenset(ipaddress.ip_address(text) for text in texts)


CHAIN = [
    f"{QNAME} 300 IN CNAME edge.cdn.example.",
    "edge.cdn.example. 30 IN CNAME pop.cdn.example.",
    "pop.cdn.example. 60 IN A 198.18.0.1",
    "pop.cdn.example. 60 IN A 198.18.0.2",
]

ACCEPTED = {
    "one address": (response(f"{QNAME} 60 IN A 198.18.0.1"), ["198.18.0.1"], 60),
    "one IPv6 address": (
        response(f"{QNAME} 60 IN AAAA 2001:db8::1", question=f"{QNAME} IN AAAA"),
        ["2001:db8::1"],
        60,
    ),
    "chain": (response(*CHAIN), ["198.18.0.1", "198.18.0.2"], 30),
    "chain in reverse": (response(*reversed(CHAIN)), ["198.18.0.1", "198.18.0.2"], 30),
    "owner in another case": (
        response("Registry.EXAMPLE. 60 IN A 198.18.0.1"),
        ["198.18.0.1"],
        60,
    ),
    "records of the RRset differ in TTL": (
        response(f"{QNAME} 60 IN A 198.18.0.1", f"{QNAME} 20 IN A 198.18.0.2"),
        ["198.18.0.1", "198.18.0.2"],
        20,
    ),
    "TTL above 2**31 - 1 is zero": (
        response(f"{QNAME} 2147483648 IN A 198.18.0.1"),
        ["198.18.0.1"],
        0,
    ),
    "record for another name beside it": (
        response(f"{QNAME} 60 IN A 198.18.0.1", "evil.example. 60 IN A 198.18.0.66"),
        ["198.18.0.1"],
        60,
    ),
    "address of a name the chain does not reach": (
        response(f"{QNAME} 60 IN CNAME a.example.", "b.example. 60 IN A 198.18.0.66"),
        [],
        0,
    ),
    "CNAME that leads to the name, not from it": (
        response(f"evil.example. 60 IN CNAME {QNAME}", "evil.example. 60 IN A 198.18.0.66"),
        [],
        0,
    ),
    "only in the authority section": (
        response(authority=[f"{QNAME} 60 IN A 198.18.0.66"]),
        [],
        0,
    ),
    "only in the additional section": (
        response(additional=[f"{QNAME} 60 IN A 198.18.0.66"]),
        [],
        0,
    ),
    "record of another class": (response(f"{QNAME} 60 CH TXT 198.18.0.66"), [], 0),
    "record of the other family": (response(f"{QNAME} 60 IN AAAA 2001:db8::66"), [], 0),
    "another type asked for": (
        response(f"{QNAME} 60 IN A 198.18.0.66", question=f"{QNAME} IN HTTPS"),
        [],
        0,
    ),
    "a CNAME asked for": (response(*CHAIN, question=f"{QNAME} IN CNAME"), [], 0),
    "everything asked for": (
        response(f"{QNAME} 60 IN A 198.18.0.66", question=f"{QNAME} IN ANY"),
        [],
        0,
    ),
    "NODATA": (
        response(authority=["example. 900 IN SOA ns.example. root.example. 1 2 3 4 77"]),
        [],
        0,
    ),
    "NXDOMAIN": (
        response(
            rcode=dns.rcode.NXDOMAIN,
            authority=["example. 40 IN SOA ns.example. root.example. 1 2 3 4 77"],
        ),
        [],
        0,
    ),
}

REJECTED_HEADERS = {
    "SERVFAIL": response(f"{QNAME} 60 IN A 198.18.0.66", rcode=dns.rcode.SERVFAIL),
    "REFUSED": response(f"{QNAME} 60 IN A 198.18.0.66", rcode=dns.rcode.REFUSED),
    "question of another class": response(question=f"{QNAME} CH TXT"),
    "query": dns.message.make_query(QNAME, "A"),
}

REJECTED = {
    "loop": response(f"{QNAME} 60 IN CNAME a.example.", f"a.example. 60 IN CNAME {QNAME}"),
    "CNAME to itself": response(f"{QNAME} 60 IN CNAME {QNAME}"),
    "endless chain": response(
        f"{QNAME} 60 IN CNAME n0.example.",
        *(f"n{i}.example. 60 IN CNAME n{i + 1}.example." for i in range(40)),
        "n40.example. 60 IN A 198.18.0.66",
    ),
    "NXDOMAIN with an address": response(f"{QNAME} 60 IN A 198.18.0.66", rcode=dns.rcode.NXDOMAIN),
    **REJECTED_HEADERS,
}


@pytest.mark.parametrize(("message", "expected", "ttl_s"), ACCEPTED.values(), ids=list(ACCEPTED))
def test_only_what_the_chain_from_the_question_reaches_counts(
    message: dns.message.Message, expected: list[str], ttl_s: int
) -> None:
    """The addresses are those at the end of the chain, the TTL is the smallest on it."""
    answer = parse(message.to_wire())
    assert frozenset(answer.addresses) == addresses(*expected)
    assert len(answer.addresses) == len(expected)
    assert answer.ttl_s == ttl_s
    assert not answer.truncated


@pytest.mark.parametrize("message", REJECTED.values(), ids=list(REJECTED))
def test_a_message_that_does_not_answer_is_malformed(message: dns.message.Message) -> None:
    """Not a plain successful response to one standard question: nothing is learned."""
    with pytest.raises(MalformedAnswer):
        parse(message.to_wire())


@pytest.mark.parametrize("message", REJECTED_HEADERS.values(), ids=list(REJECTED_HEADERS))
def test_a_truncated_message_is_checked_too(message: dns.message.Message) -> None:
    """TC asks us to look a name up: only the answer to a question may do that."""
    message.flags |= dns.flags.TC
    with pytest.raises(MalformedAnswer):
        parse(message.to_wire())


@pytest.mark.parametrize("opcode", [o for o in range(16) if o != dns.opcode.QUERY])
def test_only_standard_queries_have_answers(opcode: int) -> None:
    """Every opcode but QUERY is malformed, dynamic updates included."""
    wire = bytearray(response(f"{QNAME} 60 IN A 198.18.0.1").to_wire())
    wire[2] = wire[2] & 0x87 | opcode << 3
    with pytest.raises(MalformedAnswer):
        parse(bytes(wire))


@pytest.mark.parametrize("questions", [0, 2])
def test_an_answer_has_one_question(questions: int) -> None:
    """With none or two questions nobody can say which name the addresses belong to."""
    message = response(f"{QNAME} 60 IN A 198.18.0.1")
    extra = dns.message.make_query("evil.example.", "A").question
    message.question = (message.question + extra)[:questions]
    with pytest.raises(MalformedAnswer):
        parse(message.to_wire())


def test_the_name_asked_for_is_in_lower_case() -> None:
    """Clients randomize the case of a question; hosts are compared as text later on."""
    answer = parse(response("rEGISTRY.example. 60 IN A 198.18.0.1").to_wire())
    mixed = parse(response(question="ReGiStRy.ExAmPlE. IN A").to_wire())
    assert answer.qname.to_text() == mixed.qname.to_text() == QNAME


def test_a_truncated_answer_names_nobody() -> None:
    """With TC set no address is taken, wherever the message was cut off."""
    wire = response(*CHAIN, flags=dns.flags.TC).to_wire()
    question_end = 12 + len(dns.name.from_text(QNAME).to_wire() or b"") + 4
    for end in range(question_end, len(wire) + 1):
        assert parse(wire[:end]) == Answer(dns.name.from_text(QNAME), (), 0, truncated=True)
    for end in range(question_end):
        with pytest.raises(MalformedAnswer):
            parse(wire[:end])


def test_owners_need_no_compression() -> None:
    """The kernel's parser wants compressed owner names, this one takes any."""
    qname = dns.name.from_text(QNAME).to_wire() or b""
    wire = (
        struct.pack("!HHHHHH", 1, dns.flags.QR, 1, 1, 0, 0)
        + qname
        + struct.pack("!HH", dns.rdatatype.A, 1)
        + qname
        + struct.pack("!HHIH", dns.rdatatype.A, 1, 60, 4)
        + bytes([198, 18, 0, 1])
    )
    assert parse(wire).addresses == tuple(addresses("198.18.0.1"))


def test_octets_after_the_message_are_ignored() -> None:
    """Clients ignore them too (glibc, musl): the name would work and be blocked."""
    wire = response(f"{QNAME} 60 IN A 198.18.0.1").to_wire() + b"trailing"
    assert frozenset(parse(wire).addresses) == addresses("198.18.0.1")


BEHIND = {
    "a record cut off": bytes.fromhex("c00c 0001 0001 0000"),
    "a pointer forward": bytes.fromhex("cfff 0001 0001 0000003c 0004 c6120042"),
    "an A record of three octets": bytes.fromhex("c00c 0001 0001 0000003c 0003 c61200"),
    "BADVERS, an RCODE of two parts": bytes.fromhex("00 0029 04d0 01000000 0000"),
    "a TSIG without content": bytes.fromhex("00 00fa 00ff 00000000 0000"),
}


@pytest.mark.parametrize("tail", BEHIND.values(), ids=list(BEHIND))
@pytest.mark.parametrize("section", [8, 10])
def test_nothing_behind_the_answer_section_is_read(tail: bytes, section: int) -> None:
    """The kernel has learned the address by then, and stub resolvers read no further.

    User space refused these messages for what stood in a section that says nothing
    about the question, while the kernel let their first connections pass.
    """
    wire = bytearray(response(f"{QNAME} 60 IN A 198.18.0.1").to_wire() + tail)
    wire[section + 1] = 1
    assert frozenset(parse(bytes(wire)).addresses) == addresses("198.18.0.1")


@pytest.mark.parametrize("kind", ["HTTPS", "SVCB"])
@pytest.mark.parametrize("question", [f"{QNAME} IN HTTPS", f"{QNAME} IN A"])
def test_address_hints_open_nothing(kind: str, question: str) -> None:
    """HTTPS and SVCB records carry addresses that browsers use; clients of registries don't."""
    hint = f'{QNAME} 60 IN {kind} 1 . alpn="h2" ipv4hint="198.18.0.66" ipv6hint="2001:db8::66"'
    assert parse(response(hint, question=question).to_wire()).addresses == ()


def test_a_signed_answer_needs_no_key() -> None:
    """A TSIG is between the client and its resolver: it hides no addresses from us."""
    message = response(f"{QNAME} 60 IN A 198.18.0.1")
    message.use_tsig(dns.tsig.Key("key.example.", b"secret"))
    assert frozenset(parse(message.to_wire()).addresses) == addresses("198.18.0.1")


@given(st.binary(max_size=600))
def test_random_octets_are_malformed_or_parse(wire: bytes) -> None:
    """No input whatever raises anything but MalformedAnswer."""
    _parses_or_is_malformed(wire)


VALID = [m.to_wire() for m, _, _ in ACCEPTED.values()] + [m.to_wire() for m in REJECTED.values()]


@given(
    wire=st.sampled_from(VALID),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 2**16),
    tail=st.binary(max_size=40),
)
@example(wire=VALID[0], edits=[], cut=12, tail=b"\xc0\x0c")
def test_damaged_messages_are_malformed_or_parse(
    wire: bytes, edits: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    """A valid message with octets changed, cut off and added raises nothing else either."""
    damaged = bytearray(wire)
    for place, octet in edits:
        damaged[place % len(damaged)] = octet
    _parses_or_is_malformed(bytes(damaged))
    _parses_or_is_malformed(bytes(damaged[: cut % (len(damaged) + 1)]) + tail)


NAMES = [QNAME, *(f"{label}.example." for label in "abcdef")]
RECORDS = st.one_of(
    st.builds("{} 60 IN CNAME {}".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("{} 60 IN A 198.18.0.{}".format, st.sampled_from(NAMES), st.integers(1, 9)),
)


@given(
    records=st.lists(RECORDS, max_size=12),
    authority=st.lists(RECORDS, max_size=3),
    additional=st.lists(RECORDS, max_size=3),
)
def test_every_address_can_be_reached_from_the_question(
    records: list[str], authority: list[str], additional: list[str]
) -> None:
    """Whatever a resolver packs into an answer, no address comes from an unreachable owner."""
    wire = response(*records, authority=authority, additional=additional).to_wire()
    reached = {QNAME}
    for _ in NAMES:
        reached |= {r.split()[4] for r in records if "CNAME" in r and r.split()[0] in reached}
    allowed = addresses(*(r.split()[4] for r in records if " A " in r and r.split()[0] in reached))
    try:
        assert frozenset(parse(wire).addresses) <= allowed
    except MalformedAnswer:
        assert any("CNAME" in record for record in records)


def _parses_or_is_malformed(wire: bytes) -> None:
    try:
        answer = parse(wire)
    except MalformedAnswer:
        return
    assert answer.qname.is_absolute()
    assert 0 <= answer.ttl_s < 2**32
    assert not (answer.truncated and answer.addresses)


def test_a_cut_message_counts_as_truncated() -> None:
    """What the kernel could not pass on whole tells only which name was asked for."""
    wire = response(*CHAIN).to_wire()
    assert parse(wire[:-3], cut=True) == Answer(dns.name.from_text(QNAME), (), 0, truncated=True)
