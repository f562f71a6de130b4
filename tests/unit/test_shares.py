"""Whose pairs give way where there is no more room: laws against a naive model, and the floods."""

from __future__ import annotations

import ipaddress
import time

import dns.name
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.answers import Answer
from enforcer.core.bindings import Bindings
from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import Pattern, parse_pattern
from enforcer.core.opened import Pair
from enforcer.core.promises import Origin
from enforcer.core.ranking import Ranking
from enforcer.core.shares import Shares

FLOOD = Grant(parse_pattern("*.flood.example"), (443,), private=False)
FIRST = int(ipaddress.ip_address("198.18.0.0"))
CAPACITY = 65_536
MIN_TTL_S = 60
GRACE_S = 300


def exact(host: str) -> Grant:
    """Return the grant of a listed host."""
    return Grant(parse_pattern(host), (443,), private=False)


def bindings(capacity: int) -> Bindings:
    """Return empty bindings with the default lifetimes."""
    return Bindings(min_ttl_s=MIN_TTL_S, grace_s=GRACE_S, capacity=capacity)


def observe(
    held: Bindings, grant: Grant, host: str, *numbers: int, ttl_s: int = 60, now: float = 0.0
) -> None:
    """Let *host* be answered with the addresses of these numbers."""
    addresses = tuple(ipaddress.IPv4Address(FIRST + number) for number in numbers)
    answer = Answer(dns.name.from_text(host), addresses, ttl_s, truncated=False)
    held.observe(answer, grant, now, origin=Origin.ANSWER)


def open_of(held: Bindings, host: str, now: float = 0.0) -> list[int]:
    """Return the numbers of the addresses that *host* has."""
    return [int(b.address) - FIRST for b in held.hosts(now) if b.host == host]


def test_a_flood_below_a_wildcard_displaces_its_own_addresses_alone() -> None:
    """Whoever owned a zone below a wildcard could close every other host's addresses.

    He answered with new ones and a long lifetime; those with the least time left gave way.
    """
    held = bindings(100)
    observe(held, exact("ghcr.io"), "ghcr.io", *range(10), ttl_s=0)
    for number in range(1000):
        observe(held, FLOOD, f"n{number}.flood.example", 100 + number, ttl_s=80_000)
        observe(held, exact("quay.io"), "quay.io", 10 + number % 10, ttl_s=0)
    assert open_of(held, "ghcr.io") == list(range(10))
    assert open_of(held, "quay.io") == list(range(10, 20))
    assert (len(held), held.gave_way) == (100, 1020 - 100)


def test_an_address_that_the_flood_names_too_stays() -> None:
    """It answers with other hosts' addresses, before and after them: they are theirs as well."""
    held = bindings(50)
    observe(held, FLOOD, "before.flood.example", *range(10))
    observe(held, exact("ghcr.io"), "ghcr.io", *range(20))
    observe(held, FLOOD, "after.flood.example", *range(10, 20))
    for number in range(1000):
        observe(held, FLOOD, f"n{number}.flood.example", 100 + number, ttl_s=80_000)
    assert open_of(held, "ghcr.io") == list(range(20))
    assert len(held) == 50


def test_a_reload_does_not_forget_who_holds_what() -> None:
    """The flood that was there before is what gives way to what comes after."""
    held = bindings(50)
    observe(held, exact("ghcr.io"), "ghcr.io", *range(20), ttl_s=0)
    for number in range(30):
        observe(held, FLOOD, f"n{number}.flood.example", 100 + number, ttl_s=80_000)
    again = Grants([exact("ghcr.io"), exact("quay.io"), FLOOD])
    held.retain(again, 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    observe(held, exact("quay.io"), "quay.io", *range(20, 30), now=1.0)
    assert open_of(held, "ghcr.io", 1.0) == list(range(20))
    assert open_of(held, "quay.io", 1.0) == list(range(20, 30))


def test_full_books_and_a_hundred_thousand_grants_are_fast() -> None:
    """10,000 answers to full books take well under ten seconds, a reload of them too."""
    grants = [exact(f"host{number}.example") for number in range(100_000)]
    held = bindings(CAPACITY)
    for number in range(CAPACITY):
        grant = grants[number] if number % 2 else FLOOD
        host = grant.pattern.domain if number % 2 else f"n{number}.flood.example"
        observe(held, grant, host, number, ttl_s=number % 997)
    begin = time.monotonic()
    for number in range(CAPACITY, CAPACITY + 10_000):
        if number % 2:
            observe(held, grants[number], grants[number].pattern.domain, number)
        else:
            observe(held, FLOOD, f"n{number}.flood.example", number)
    held.retain(Grants([*grants, FLOOD]), 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    observe(held, FLOOD, "last.flood.example", CAPACITY + 20_000, now=1.0)
    assert time.monotonic() - begin < 10
    assert (len(held), held.gave_way) == (CAPACITY, 10_001)
    assert open_of(held, "host1.example", 1.0) == [1]


PATTERNS = [Pattern(domain, wildcard=False) for domain in "abc"]
PAIRS: list[Pair] = [(ipaddress.IPv4Address(FIRST + number), 443) for number in range(8)]
steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(PATTERNS), st.sampled_from(PAIRS)),
    st.tuples(st.just("later"), st.integers(1, 5), st.sampled_from(PAIRS)),
    st.tuples(st.just("discard"), st.none(), st.sampled_from(PAIRS)),
    st.tuples(st.just("give way"), st.none(), st.none()),
)


@given(st.lists(steps, max_size=80))
def test_who_has_most_gives_way_and_of_that_what_ends_first(
    taken: list[tuple[str, Pattern | int | None, Pair | None]],
) -> None:
    """However pairs come, go and get later ends, as a model says that looks at all of them."""
    # Unequal at any time: each end has a fraction of its own.
    ends: dict[Pair, float] = {pair: number / 10 for number, pair in enumerate(PAIRS)}
    shares = Shares(ends.__getitem__)
    model: dict[Pattern, set[Pair]] = {pattern: set() for pattern in PATTERNS}
    for what, of, pair in taken:
        if isinstance(of, Pattern) and pair:
            shares.add(of, pair)
            model[of].add(pair)
        elif isinstance(of, int) and pair:
            ends[pair] += of
        elif what == "discard" and pair:
            shares.discard(pair)
            for pairs in model.values():
                pairs.discard(pair)
        elif any(model.values()):
            assert shares.give_way() == naive(model, ends)


def naive(model: dict[Pattern, set[Pair]], ends: dict[Pair, float]) -> Pair:
    """Take out of *model* the pair that gives way."""
    while True:
        pairs = min(
            filter(None, model.values()),
            key=lambda pairs: (-len(pairs), min(ends[pair] for pair in pairs)),
        )
        pair = min(pairs, key=ends.__getitem__)
        pairs.discard(pair)
        if not any(pair in others for others in model.values()):
            return pair


def test_a_ranking_keeps_no_more_than_it_needs() -> None:
    """What is told again and again, or comes and goes, leaves nothing behind for long."""
    ranks = {number: float(number) for number in range(10)}
    ranking: Ranking[int] = Ranking(ranks.__getitem__)
    for _ in range(1000):
        for number in ranks:
            ranking.put(number)
    assert len(ranking) == 10
    assert len(ranking._heap) < 100  # noqa: SLF001 - memory is the point
    assert ranking.first() == 0
    ranks[0] = 20.0
    assert ranking.first() == 1
