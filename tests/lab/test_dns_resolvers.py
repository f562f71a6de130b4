"""Resolvers that are dead, slow or wrong, and those that nobody trusts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.lab.asking import ask, await_held, held, is_open
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

NAME, ADDRESS = "exact.resolver.test", "198.18.6.1"
OTHER, OTHERS_ADDRESS = "other.resolver.test", "198.18.6.2"
# The daemon tries again after 1, 2, 4 and 8 seconds, and a try may take four.
RECOVERED_WITHIN_S = 60


def policy(*resolvers: str) -> str:
    """Return a policy of the one name, through *resolvers* or the system's."""
    listed = f"[{', '.join(map(repr, resolvers))}]" if resolvers else "system"
    return f"version: 1\norganization: lab\nhosts: [{NAME}]\nresolvers: {listed}\n"


@pytest.fixture
def named(lab: Lab) -> Lab:
    """Return a lab with the name."""
    lab.nameserver.add(NAME, ADDRESS)
    lab.nameserver.add(OTHER, OTHERS_ADDRESS)
    return lab


def answer(query: dns.message.Message, address: str = OTHERS_ADDRESS) -> dns.message.Message:
    """Return an answer with an address that a liar would like to be reached."""
    response = dns.message.make_response(query)
    question = query.question[0]
    if question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", address))
    return response


def wrong_id(query: dns.message.Message) -> bytes:
    """Answer a query that nobody sent."""
    response = answer(query)
    response.id ^= 0x5555
    return response.to_wire()


def wrong_question(query: dns.message.Message) -> bytes:
    """Answer about another name."""
    return answer(dns.message.make_query(OTHER, "A", id=query.id)).to_wire()


def garbage(query: dns.message.Message) -> bytes:
    """Answer with an address for the right question, and nonsense after it."""
    wire = bytearray(answer(query).to_wire())
    wire[6:8] = b"\x00\x09"
    return bytes(wire) + b"\xff" * 40


def not_dns(_query: dns.message.Message) -> bytes:
    """Answer with something else altogether."""
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def refuses(query: dns.message.Message) -> dns.message.Message:
    """Answer REFUSED."""
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.REFUSED)
    return response


def fails(query: dns.message.Message) -> dns.message.Message:
    """Answer SERVFAIL."""
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response


def cuts(query: dns.message.Message) -> bytes:
    """Truncate every answer, over TCP too."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response.to_wire()


def silent(_query: dns.message.Message) -> None:
    """Answer nothing."""


HABITS: dict[str, tuple[Callable[[dns.message.QueryMessage], object], str]] = {
    "silent": (silent, "did not answer within"),
    "wrong id": (wrong_id, "did not answer within"),
    "wrong question": (wrong_question, "did not answer within"),
    "garbage": (garbage, "can't be understood"),
    "not DNS": (not_dns, "did not answer within"),
    "REFUSED": (refuses, "REFUSED"),
    "SERVFAIL": (fails, "SERVFAIL"),
    "truncated over TCP too": (cuts, "truncated"),
}


@pytest.mark.parametrize(("habit", "named_so"), HABITS.values(), ids=list(HABITS))
def test_a_resolver_that_does_wrong_is_named_and_recovered_from(
    named: Lab, habit: Callable[[dns.message.QueryMessage], None], named_so: str
) -> None:
    """The daemon starts closed, says which resolver did what, opens nothing, and recovers."""
    named.nameserver.script(NAME, habit)
    with running(named.net, policy(RESOLVERS[0])) as enforcer:
        status = enforcer.status()
        assert status["enforcing"]
        texts = [problem["text"] for problem in status["problems"]]
        assert any(NAME in t and RESOLVERS[0] in t and named_so in t for t in texts), texts
        for address in (ADDRESS, OTHERS_ADDRESS):
            assert not is_open(named.net.host, address)
        named.nameserver.remove(NAME)
        named.nameserver.add(NAME, ADDRESS)
        until(lambda: is_open(named.net.host, ADDRESS), RECOVERED_WITHIN_S, "the recovery")
        until(lambda: enforcer.status()["healthy"], 5, "the problem to be over")
        assert not is_open(named.net.host, OTHERS_ADDRESS)


def test_truncated_answers_with_tcp_refused_are_told(named: Lab) -> None:
    """A resolver behind a firewall that lets UDP alone through."""
    named.nameserver.add(NAME, *(f"198.18.6.{n}" for n in range(1, 201)))
    named.net.world.nft(
        "table inet lab_no_tcp { chain input { type filter hook input priority 0;"
        " tcp dport 53 reject with tcp reset; }; }\n"
    )
    with running(named.net, policy(RESOLVERS[0])) as enforcer:
        texts = [problem["text"] for problem in enforcer.status()["problems"]]
        assert any(f"{RESOLVERS[0]} can't be reached: connection refused" in t for t in texts)
        assert not is_open(named.net.host, ADDRESS)
        named.net.world.nft("delete table inet lab_no_tcp")
        until(lambda: is_open(named.net.host, ADDRESS), RECOVERED_WITHIN_S, "the recovery")


def test_a_second_resolver_stands_in_for_a_dead_one(named: Lab) -> None:
    """The first is a hole in the network; nothing is missing and nothing is wrong."""
    with running(named.net, policy("10.77.0.99", RESOLVERS[1])) as enforcer:
        until(lambda: held(enforcer, NAME), 15, "the name to be looked up")
        assert is_open(named.net.host, ADDRESS)
        until(lambda: enforcer.status()["healthy"], 15, "health")


def test_an_ipv6_resolver_alone_is_enough(named: Lab) -> None:
    """Names, their IPv4 addresses and clients' queries, all over IPv6."""
    with running(named.net, policy(RESOLVERS[1])) as enforcer:
        assert enforcer.status()["resolvers"] == [RESOLVERS[1]]
        assert enforcer.status()["healthy"]
        for client in (named.net.host, named.net.container):
            assert is_open(client, ADDRESS)
            assert ask(client, RESOLVERS[1], NAME).answer


def test_a_list_in_the_policy_pins_the_resolvers(named: Lab) -> None:
    """What resolv.conf says later is ignored, and its server's answers teach nothing."""
    with running(named.net, policy(RESOLVERS[0])) as enforcer:
        named.net.host.resolv_conf.write_text(f"nameserver {RESOLVERS[1]}\n")
        enforcer.cli("reload")
        assert enforcer.status()["resolvers"] == [RESOLVERS[0]]
        made = attempt(named.net.host, NAME).outcome
        assert "name resolution" in made, "the query must not have left"


def test_a_link_local_resolver_is_refused_and_told(named: Lab) -> None:
    """Of resolv.conf it is left out, with a note; the others are used."""
    text = named.net.host.resolv_conf.read_text()
    named.net.host.resolv_conf.write_text(f"nameserver fe80::1%eth0\n{text}")
    with running(named.net, policy()) as enforcer:
        status = enforcer.status()
        assert status["resolvers"] == list(RESOLVERS)
        assert any("fe80::1%eth0 is link-local" in p["text"] for p in status["problems"])
        assert is_open(named.net.host, ADDRESS)


@dataclass(frozen=True)
class Stranger:
    """A name server that nobody trusts, in the world."""

    address: str


@pytest.fixture(params=["198.18.53.53", "2001:db8:53::53"])
def stranger(request: pytest.FixtureRequest, named: Lab) -> Iterator[Stranger]:
    """Serve all names at an address that no policy lists."""
    named.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    with named.nameserver.serving(named.net.world, str(request.param)):
        yield Stranger(str(request.param))


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
@pytest.mark.parametrize("where", ["host", "container"])
@pytest.mark.needs("reject")
def test_port_53_of_others_is_denied(
    named: Lab, stranger: Stranger, where: str, *, tcp: bool
) -> None:
    """By UDP and TCP, from the machine and a container; the trusted resolver answers both."""
    client: Namespace = getattr(named.net, where)
    assert ask(client, stranger.address, OTHER, tcp=tcp).answer, "it answers without a firewall"
    with running(named.net, policy(*RESOLVERS)):
        protocol = "tcp" if tcp else "udp"
        made = attempt(client, stranger.address, 53, protocol=protocol)
        assert made.outcome in {"ECONNREFUSED", "EPERM", "EACCES", "EHOSTUNREACH"}
        assert made.elapsed_s < 1
        for resolver in RESOLVERS:
            assert ask(client, resolver, OTHER, tcp=tcp).answer


def test_the_exact_name_is_held_with_its_origin(named: Lab) -> None:
    """What the daemon looked up itself is told apart from what it saw on the wire."""
    with running(named.net, policy(*RESOLVERS)) as enforcer:
        (found,) = await_held(enforcer, NAME, ADDRESS).values()
        assert "resolver" in found["learned"]
