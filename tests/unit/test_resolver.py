"""Lookups against a real name server on loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from enforcer.core.addresses import Address
from enforcer.edge.resolver import AVOIDED_S, SILENT, TIMEOUT_S, LookupResult, Resolver
from tests.unit.nano import Asked, Handler, Nano, reply

FIRST = ipaddress.ip_address("127.0.0.1")
SECOND = ipaddress.ip_address("127.0.0.2")
GHCR = dns.name.from_text("ghcr.io")

BOTH = ("60 198.18.0.1", "30 2001:db8::1")


def both(asked: Asked) -> Sequence[bytes]:
    """Answer every name with an address of each family."""
    return [reply(asked, *BOTH)]


def silent(_asked: Asked) -> Sequence[bytes]:
    """Answer nothing."""
    return []


def with_rcode(rcode: dns.rcode.Rcode) -> Handler:
    """Return a handler that answers every query with *rcode* and no records."""
    return lambda asked: [reply(asked, rcode=rcode)]


def lookup(
    server: Nano, *nameservers: Address, names: Sequence[dns.name.Name] = (GHCR,), **how: float
) -> list[LookupResult]:
    """Look *names* up, all at once, through *nameservers* at the port of *server*."""

    async def run() -> list[LookupResult]:
        resolver = Resolver(
            nameservers or (FIRST,),
            port=server.port,
            timeout_s=how.get("timeout_s", 0.2),
            concurrency=int(how.get("concurrency", 64)),
        )
        return await asyncio.gather(*(resolver.lookup(name) for name in names))

    return asyncio.run(run())


def found(result: LookupResult) -> set[str]:
    """Return the addresses in *result* as text."""
    return {str(address) for answer in result.answers for address in answer.addresses}


def test_both_families_are_asked_for() -> None:
    """One lookup gives the A and the AAAA answer, and the smaller of their TTLs."""
    with Nano(both) as server:
        (result,) = lookup(server)
    assert result.name == GHCR
    assert found(result) == {"198.18.0.1", "2001:db8::1"}
    assert result.ttl_s == 30
    assert result.errors == ()
    assert {a.rdtype for a in server.asked} == {dns.rdatatype.A, dns.rdatatype.AAAA}


def test_one_family_is_enough() -> None:
    """A host without AAAA records is no problem to show anybody."""
    with Nano(lambda asked: [reply(asked, "60 198.18.0.1")]) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1"}
    assert result.ttl_s == 60
    assert result.errors == ()


def malformed(asked: Asked) -> Sequence[bytes]:
    """Answer with a header that promises a record, and end there."""
    wire = bytearray(reply(asked))
    wire[7] = 1
    return [bytes(wire)]


def no_question(asked: Asked) -> Sequence[bytes]:
    """Answer FORMERR with nothing but a header."""
    return [asked.query.id.to_bytes(2, "big") + b"\x80\x01" + bytes(8)]


NOTHING = {
    "NXDOMAIN": (with_rcode(dns.rcode.NXDOMAIN), "says that there is no such name (NXDOMAIN)"),
    "NODATA": (with_rcode(dns.rcode.NOERROR), "says that the name has no address"),
    "SERVFAIL": (with_rcode(dns.rcode.SERVFAIL), "DNS answer says SERVFAIL"),
    "REFUSED": (with_rcode(dns.rcode.REFUSED), "DNS answer says REFUSED"),
    "a record is missing": (malformed, "DNS answer can't be understood"),
    "no question": (no_question, "DNS answer"),
    "silence": (silent, "did not answer within 0.2 s"),
    "truncated for ever": (
        lambda asked: [reply(asked, *BOTH, truncated=True)],
        "the answer is truncated, over TCP too",
    ),
}


@pytest.mark.parametrize(("handler", "reason"), NOTHING.values(), ids=list(NOTHING))
def test_a_failed_lookup_says_why(handler: Handler, reason: str) -> None:
    """What DNS can do wrong is told in the result and never raised."""
    with Nano(handler) as server:
        (result,) = lookup(server)
    assert result.answers == ()
    assert result.ttl_s is None
    (error,) = result.errors
    assert error.startswith("A and AAAA: 127.0.0.1")
    assert reason in error


def test_a_resolver_that_is_not_there_is_named() -> None:
    """Nobody listening is told at once by the kernel, without waiting for the timeout."""
    with Nano(both) as server:
        (result,) = lookup(server, SECOND, timeout_s=60)
    assert result.errors == ("A and AAAA: 127.0.0.2 can't be reached: connection refused",)


def test_half_an_answer_is_taken_and_the_other_half_reported() -> None:
    """A family that fails does not take the other with it."""

    def half(asked: Asked) -> Sequence[bytes]:
        if asked.rdtype == dns.rdatatype.A:
            return both(asked)
        return [reply(asked, rcode=dns.rcode.SERVFAIL)]

    with Nano(half) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1"}
    assert result.errors == ("AAAA: 127.0.0.1: DNS answer says SERVFAIL",)


def test_a_truncated_answer_is_fetched_over_tcp() -> None:
    """What does not fit into a datagram is asked for again over TCP, with another id."""

    def long(asked: Asked) -> Sequence[bytes]:
        if not asked.tcp:
            return [reply(asked, "60 198.18.0.66", truncated=True)]
        return [reply(asked, *(f"60 198.18.0.{i}" for i in range(1, 201)))]

    with Nano(long) as server:
        (result,) = lookup(server)
    assert found(result) == {f"198.18.0.{i}" for i in range(1, 201)}
    assert sorted(a.tcp for a in server.asked) == [False, False, True, True]
    assert len({a.query.id for a in server.asked}) > 2


@pytest.mark.parametrize(("addresses", "tcp"), [(60, False), (100, True)])
def test_a_long_answer_that_fits_into_a_datagram_needs_no_tcp(addresses: int, tcp: bool) -> None:
    """Queries offer a datagram of 1,232 bytes; what is longer comes over TCP as before."""

    def fitting(asked: Asked) -> Sequence[bytes]:
        wire = reply(asked, *(f"60 198.18.0.{i}" for i in range(1, addresses + 1)))
        fits = asked.tcp or len(wire) <= max(asked.query.payload, 512)
        return [wire if fits else reply(asked, truncated=True)]

    with Nano(fitting) as server:
        (result,) = lookup(server)
    assert len(found(result)) == addresses
    assert any(a.tcp for a in server.asked) is tcp


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
@pytest.mark.parametrize("header_only", [False, True])
def test_a_server_older_than_edns_is_asked_without(
    rcode: dns.rcode.Rcode, header_only: bool
) -> None:
    """RFC 6891 section 7: FORMERR or NOTIMP to the OPT record is no answer to the question."""

    def old(asked: Asked) -> Sequence[bytes]:
        if asked.query.edns < 0:
            return both(asked)
        if not header_only:
            return [reply(asked, rcode=rcode)]
        return [asked.query.id.to_bytes(2, "big") + bytes((0x80, rcode)) + bytes(8)]

    with Nano(old) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1", "2001:db8::1"}
    assert result.errors == ()


def test_an_answer_over_tcp_is_checked_like_any_other() -> None:
    """An answer to another question is no answer, though the connection is the right one."""

    def crossed(asked: Asked) -> Sequence[bytes]:
        if not asked.tcp:
            return [reply(asked, truncated=True)]
        other = dns.message.make_query("evil.example.", asked.rdtype, id=asked.query.id)
        return [reply(replace(asked, query=other), *BOTH)]

    with Nano(crossed) as server:
        (result,) = lookup(server)
    assert result.answers == ()
    assert "another question" in result.errors[0]


def hang_up(asked: Asked) -> Sequence[bytes]:
    """Truncate the answer and close the TCP connection without one."""
    return [] if asked.tcp else [reply(asked, truncated=True)]


UNABLE = {
    "silent": silent,
    "SERVFAIL": with_rcode(dns.rcode.SERVFAIL),
    "REFUSED": with_rcode(dns.rcode.REFUSED),
    "malformed": malformed,
    "hangs up": hang_up,
}


@pytest.mark.parametrize("handler", UNABLE.values(), ids=list(UNABLE))
def test_the_next_resolver_is_asked_when_one_is_unable(handler: Handler) -> None:
    """A broken first resolver delays lookups; it does not fail them."""
    with Nano(handler) as broken, Nano(both, str(SECOND), broken.port):
        (result,) = lookup(broken, FIRST, SECOND)
    assert found(result) == {"198.18.0.1", "2001:db8::1"}
    assert result.errors == ()


def test_no_such_name_is_final() -> None:
    """NXDOMAIN is an answer: no other resolver is asked until one says something else."""
    with (
        Nano(with_rcode(dns.rcode.NXDOMAIN)) as first,
        Nano(both, str(SECOND), first.port) as second,
    ):
        (result,) = lookup(first, FIRST, SECOND)
    assert result.answers == ()
    assert second.asked == []


def test_a_lost_datagram_is_asked_for_again() -> None:
    """One lost query does not fail the only resolver's lookup."""
    seen: set[dns.rdatatype.RdataType] = set()

    def lossy(asked: Asked) -> Sequence[bytes]:
        if asked.rdtype in seen:
            return both(asked)
        seen.add(asked.rdtype)
        return []

    with Nano(lossy) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1", "2001:db8::1"}


def forged(asked: Asked, kind: str) -> bytes:
    """Return an answer with an attacker's addresses that is wrong in one way."""
    name = "evil.example." if kind == "question" else asked.name
    rdtype = dns.rdatatype.TXT if kind == "type" else asked.rdtype
    other = dns.message.make_query(name, rdtype, id=asked.query.id ^ (kind == "id"))
    wire = bytearray(reply(replace(asked, query=other), "60 198.18.0.66", "60 2001:db8::66"))
    if kind == "direction":
        wire[2] &= 0x7F
    return bytes(wire[: 5 if kind == "length" else None])


@pytest.mark.parametrize("kind", ["id", "question", "type", "direction", "length"])
def test_a_datagram_that_answers_something_else_is_ignored(kind: str) -> None:
    """Forgeries that arrive before the true answer change nothing."""
    with Nano(lambda asked: [forged(asked, kind), *both(asked)]) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1", "2001:db8::1"}
    assert len(server.asked) == 2


def test_a_datagram_from_elsewhere_is_ignored() -> None:
    """Id, port and question alone do not make an answer: the sender must be the resolver."""

    def overtaken(asked: Asked) -> Sequence[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((str(SECOND), 0))
            stranger.sendto(forged(asked, "sender"), (str(FIRST), asked.port))
        return both(asked)

    with Nano(overtaken) as server:
        (result,) = lookup(server)
    assert found(result) == {"198.18.0.1", "2001:db8::1"}


def test_queries_can_not_be_guessed() -> None:
    """Ports and ids are spread: a fixed or counting one would be seen here."""
    names = [dns.name.from_text(f"host{i}.example") for i in range(200)]
    with Nano(both) as server:
        lookup(server, names=names, timeout_s=5)
    ports, ids = [a.port for a in server.asked], [a.query.id for a in server.asked]
    for values in (ports, ids):
        assert len(set(values)) > 0.9 * len(values)
        steps = [b - a for a, b in pairwise(values)]
        assert len(set(steps)) > 0.8 * len(steps)


def test_only_dns_is_believed() -> None:
    """A name of the hosts file is asked for like any other."""
    with Nano(both) as server:
        (result,) = lookup(server, names=[dns.name.from_text("localhost")])
    assert found(result) == {"198.18.0.1", "2001:db8::1"}


THOUSAND = [dns.name.from_text(f"host{i}.example") for i in range(1000)]


def one_in_a_hundred(asked: Asked) -> Sequence[bytes]:
    """Leave every hundredth name unanswered."""
    return [] if asked.name.labels[0].endswith(b"99") else both(asked)


@pytest.mark.parametrize(
    ("first", "answered"),
    [(both, 1000), (one_in_a_hundred, 990), (silent, 1000), (None, 1000)],
    ids=["all well", "1 % time out", "first resolver silent", "first resolver dead"],
)
def test_a_thousand_names_take_seconds(
    first: Handler | None, answered: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the timeout of production, and whatever happens to the first resolver."""
    with ExitStack() as stack:
        last = stack.enter_context(Nano(one_in_a_hundred if answered < 1000 else both, str(SECOND)))
        if first is not None:
            stack.enter_context(Nano(first, str(FIRST), last.port))
        start = time.monotonic()
        results = lookup(last, FIRST, SECOND, names=THOUSAND, timeout_s=TIMEOUT_S)
        took_s = time.monotonic() - start
    with capsys.disabled():
        print(f"\n1,000 names: {took_s:.2f} s")  # noqa: T201 - the measurement is the point
    assert sum(len(result.answers) == 2 for result in results) == answered
    assert took_s < 30


def test_a_silent_resolver_is_asked_last_until_it_may_be_back() -> None:
    """Names do not wait for a dead resolver one after the other, and it gets a new chance."""
    loop = ShiftedLoop()
    names = THOUSAND[: 2 * SILENT]
    with Nano(silent) as first, Nano(both, str(SECOND), first.port):
        resolver = Resolver((FIRST, SECOND), port=first.port, timeout_s=0.2, concurrency=4)

        async def run() -> list[int]:
            asked = []
            for _ in range(2):
                for name in names:
                    await resolver.lookup(name)
                asked.append(len(first.asked))
            loop.shift_s += AVOIDED_S
            await resolver.lookup(GHCR)
            return [*asked, len(first.asked)]

        try:
            once, twice, later = loop.run_until_complete(run())
        finally:
            loop.close()
    assert once == twice == SILENT
    assert later == SILENT + 2


def test_a_resolver_that_answers_now_and_then_is_not_avoided() -> None:
    """Names whose own servers are dead say nothing about the resolver."""

    def moody(asked: Asked) -> Sequence[bytes]:
        return both(asked) if asked.rdtype == dns.rdatatype.A else []

    names = THOUSAND[: SILENT + 1]
    with Nano(moody) as first, Nano(both, str(SECOND), first.port):
        lookup(first, FIRST, SECOND, names=names, timeout_s=0.1, concurrency=1)
    assert len(first.asked) == 2 * len(names)


class ShiftedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    shift_s = 0.0

    def time(self) -> float:
        """Return the loop's time, shifted."""
        return super().time() + self.shift_s


def test_lookups_do_not_use_up_the_files_of_the_process() -> None:
    """Many names wait for their turn instead of opening a socket each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Nano(both) as server:
        # Beside those that fixtures of the whole session hold.
        used = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 64, hard))
        try:
            results = lookup(server, names=THOUSAND[:300], concurrency=16, timeout_s=5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [result.errors for result in results if result.errors] == []
