"""Lookups of whole policies, by the real resolver at a small name server."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence

import dns.name
import dns.rcode

from enforcer.core.policy import Policy, parse_policy
from enforcer.daemon.lookups import MAX_SOON, Lookups
from enforcer.daemon.problems import MAX_NAMED, Problems
from enforcer.edge.resolver import TIMEOUT_S as QUERY_TIMEOUT_S
from enforcer.edge.resolver import Resolver
from tests.unit.nano import Asked, Nano, reply

LOCALHOST = (ipaddress.ip_address("127.0.0.1"),)
TIMEOUT_S = 60.0
SILENT_ZONE = dns.name.from_text("silent.example")


def policy(hosts: int) -> Policy:
    """Return a policy of so many exact names."""
    names = ", ".join(f"host{n}.example" for n in range(hosts))
    return parse_policy(f"version: 1\norganization: acme\nhosts: [{names}]\n", "policy.yaml")


def nothing(asked: Asked) -> Sequence[bytes]:
    """Know no name."""
    return [reply(asked, rcode=dns.rcode.NXDOMAIN)]


def everything(asked: Asked) -> Sequence[bytes]:
    """Know every name."""
    return [reply(asked, "60 198.18.0.1", "60 2001:db8::1")]


def made(server: Nano, problems: Problems, timeout_s: float = QUERY_TIMEOUT_S) -> Lookups:
    """Return lookups that ask *server* and learn nothing."""
    return Lookups(
        lambda _answer, _origin: None,
        problems,
        lambda to, *, concurrency: Resolver(
            to, port=server.port, timeout_s=timeout_s, concurrency=concurrency
        ),
    )


def test_a_thousand_names_are_not_a_thousand_tasks() -> None:
    """Each was a task at once, and 100,000 of them stopped the daemon for seconds."""

    async def most_tasks(server: Nano) -> int:
        lookups = made(server, Problems())
        lookups.use(policy(1000), LOCALHOST, time.monotonic())
        first = asyncio.ensure_future(lookups.first(TIMEOUT_S))
        most = 0
        while not first.done():
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
        return most

    with Nano(everything) as server:
        assert asyncio.run(most_tasks(server)) < 800
    assert len({asked.name for asked in server.asked}) == 1000


def test_of_names_that_all_fail_a_few_are_named_and_the_rest_counted() -> None:
    """1,000 problems filled the log and the status."""
    problems = Problems()

    async def look_up(server: Nano) -> None:
        lookups = made(server, problems)
        lookups.use(policy(50), LOCALHOST, time.monotonic())
        await lookups.first(TIMEOUT_S)
        texts = [problem.text for problem in problems.current()]
        assert len(texts) == MAX_NAMED + 1
        assert sum("NXDOMAIN" in text for text in texts) == MAX_NAMED
        assert "45 other hosts can't be resolved" in texts
        # Those that have left the policy are no problem any more.
        lookups.use(policy(0), LOCALHOST, time.monotonic())
        assert problems.current() == ()

    with Nano(nothing) as server:
        asyncio.run(look_up(server))


def test_problems_end_with_the_failures() -> None:
    """The names that stood for all and the count of the others are both gone."""
    problems = Problems()
    known = False

    def handler(asked: Asked) -> Sequence[bytes]:
        return everything(asked) if known else nothing(asked)

    async def look_up_twice(server: Nano) -> None:
        nonlocal known
        lookups = made(server, problems)
        for known in (False, True):
            lookups.use(policy(20), LOCALHOST, time.monotonic(), anew=True)
            await lookups.first(TIMEOUT_S)
            assert bool(problems.current()) is not known

    with Nano(handler) as server:
        asyncio.run(look_up_twice(server))


def test_a_cut_answer_to_a_running_lookup_starts_no_other() -> None:
    """Our own lookup's answer comes by the kernel as well."""

    async def look_up(server: Nano) -> None:
        lookups = made(server, Problems())
        for _ in range(10):
            lookups.soon(dns.name.from_text("HOST.example"))
        lookups.use(policy(0), LOCALHOST, time.monotonic())
        await lookups.first(TIMEOUT_S)

    with Nano(everything) as server:
        asyncio.run(look_up(server))
    assert len(server.asked) <= 2


def test_names_of_the_policy_do_not_queue_behind_cut_answers() -> None:
    """The owner of a zone below a wildcard could keep listed hosts from being looked up.

    He answered cut short, as often as anybody asked, and our own lookups not at all:
    these held the places, here and at the resolver, of those that the policy asks for.
    """

    def handler(asked: Asked) -> Sequence[bytes]:
        return [] if asked.name.is_subdomain(SILENT_ZONE) else everything(asked)

    async def look_up(server: Nano) -> None:
        lookups = made(server, Problems(), timeout_s=TIMEOUT_S)
        lookups.use(policy(0), LOCALHOST, time.monotonic())
        for number in range(MAX_SOON):
            lookups.soon(dns.name.from_text(f"n{number}", SILENT_ZONE))
        lookups.use(policy(50), LOCALHOST, time.monotonic())
        await asyncio.wait_for(lookups.first(TIMEOUT_S), TIMEOUT_S / 2)

    with Nano(handler) as server:
        asyncio.run(look_up(server))
    listed = {asked.name for asked in server.asked if not asked.name.is_subdomain(SILENT_ZONE)}
    assert len(listed) == 50
    assert any(asked.name.is_subdomain(SILENT_ZONE) for asked in server.asked)
