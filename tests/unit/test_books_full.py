"""Full books keep the event loop from nothing: requests, answers and signals get their turn."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from typing import Any

import dns.name

from enforcer.abi import MAX_LEARNED
from enforcer.core.answers import Answer
from enforcer.core.grants import Grants
from enforcer.core.policy import parse_policy
from enforcer.core.promises import Origin
from enforcer.daemon.books import Books
from enforcer.daemon.problems import Problems

POLICY = parse_policy("version: 1\norganization: unit\nhosts: ['*.cdn.test']\n", "policy")
GRANTS = Grants(POLICY.hosts)
FIRST = int(ipaddress.ip_address("198.18.0.0"))


async def longest_turn_s(work: asyncio.Future[Any]) -> float:
    """Return the longest processor time that the loop spent without a turn for others."""
    longest, before = 0.0, time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    await work
    return longest


def test_nothing_takes_long_at_once() -> None:
    """Who has which addresses, and what another policy permits, took seconds."""
    books = Books(POLICY, Problems())
    for number in range(MAX_LEARNED):
        name = dns.name.from_text(f"h{number}.cdn.test")
        answer = Answer(name, (ipaddress.ip_address(FIRST + number),), 3000, truncated=False)
        books.observe(answer, Origin.ANSWER, GRANTS, ())

    async def body() -> None:
        holders = asyncio.ensure_future(books.holders())
        assert await longest_turn_s(holders) < 0.5
        assert len(holders.result().bindings()) == MAX_LEARNED
        retained = asyncio.ensure_future(books.retain(POLICY, GRANTS))
        # The one at its end is that in which what has been worked out is taken.
        assert await longest_turn_s(retained) < 1
        change, closed = retained.result()
        assert (change.rewrite, change.delete, closed) == ((), (), frozenset())
        assert len(books) == MAX_LEARNED

    asyncio.run(body())
