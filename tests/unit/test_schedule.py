"""When names are looked up next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.answers import MAX_TTL_S
from enforcer.core.schedule import (
    BACKOFF_FIRST_S,
    BACKOFF_LAST_S,
    LATEST,
    SHORTEST_S,
    SPREAD,
    Schedule,
)

A, B, C = (f"{label}.example" for label in "abc")


def schedule(
    *names: str,
    now: float = 0.0,
    min_ttl_s: int = 60,
    grace_s: int = 300,
    jitter: float = 0.0,
) -> Schedule:
    """Return a schedule of *names*, its jitter the same at every call."""
    made = Schedule(lambda: jitter)
    made.replace(names, now, min_ttl_s=min_ttl_s, grace_s=grace_s)
    return made


def after_success(ttl_s: int, min_ttl_s: int, grace_s: int, jitter: float) -> float:
    """Return how long after its lookup a name with *ttl_s* is looked up again."""
    made = schedule(A, min_ttl_s=min_ttl_s, grace_s=grace_s, jitter=jitter)
    made.pop_due(0.0, 1)
    made.succeeded(A, ttl_s, 0.0)
    due = made.next_due()
    assert due is not None
    return due


def test_new_names_are_due_at_once_in_order() -> None:
    """All of them, but only as many at a time as there is room for."""
    made = schedule(C, A, B, A, now=5.0)
    assert len(made) == 3
    assert made.next_due() == 5.0
    assert made.pop_due(4.9, 10) == ()
    assert made.pop_due(5.0, 2) == (C, A)
    assert made.pop_due(5.0, 2) == (B,)
    assert made.next_due() is None


def test_a_name_is_out_until_its_lookup_has_ended() -> None:
    """Nobody looks a name up twice at a time."""
    made = schedule(A)
    assert made.pop_due(0.0, 10) == (A,)
    assert made.pop_due(1e9, 10) == ()
    made.succeeded(A, 60, 1.0)
    assert made.pop_due(1e9, 10) == (A,)


@pytest.mark.parametrize(
    ("ttl_s", "min_ttl_s", "grace_s", "earliest", "latest"),
    [
        (300, 60, 300, 300, 330),  # when the resolver has a fresh answer
        (5, 60, 300, 60, 66),  # the floor
        (3600, 60, 300, 0.9 * 0.9 * 3900, 0.9 * 3900),  # grace is short beside the TTL
        (60, 60, 0, 0.9 * 0.9 * 60, 0.9 * 60),  # no grace: before the TTL ends
        (0, 0, 0, 1, 1),  # not in a busy loop
        (2**31 - 1, 60, 300, MAX_TTL_S, MAX_TTL_S),
    ],
)
def test_a_name_is_looked_up_again_by_its_ttl(
    ttl_s: int, min_ttl_s: int, grace_s: int, earliest: float, latest: float
) -> None:
    """Shortly after the TTL if the grace allows it, else before the binding ends."""
    delays = [after_success(ttl_s, min_ttl_s, grace_s, i / 100) for i in range(100)]
    assert all(earliest <= delay <= latest for delay in delays)
    if earliest < latest:
        assert len(set(delays)) > 50


@given(
    ttl_s=st.integers(0, 2**31 - 1),
    min_ttl_s=st.integers(0, 86_400),
    grace_s=st.integers(0, 86_400),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_no_binding_ends_before_the_next_lookup(
    ttl_s: int, min_ttl_s: int, grace_s: int, jitter: float
) -> None:
    """Whatever the policy says, a lookup begins while the last one's binding lives."""
    lifetime_s = max(ttl_s, min_ttl_s) + grace_s
    delay = after_success(ttl_s, min_ttl_s, grace_s, jitter)
    assert SHORTEST_S <= delay <= max(LATEST * lifetime_s, SHORTEST_S)


@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_failures_back_off(jitter: float) -> None:
    """1 s, doubled by every failure in a row up to 300 s, up to a tenth earlier."""
    made = schedule(A, jitter=jitter)
    now, delays = 0.0, []
    for _ in range(2000):
        assert made.pop_due(now, 1) == (A,)
        made.failed(A, now)
        due = made.next_due()
        assert due is not None
        delays.append(due - now)
        now = due
    exact = [1, 2, 4, 8, 16, 32, 64, 128, 256] + [BACKOFF_LAST_S] * 1991
    assert delays == pytest.approx([delay * (1 - SPREAD * jitter) for delay in exact])


def test_a_success_ends_the_backoff() -> None:
    """The next failure counts from one again."""
    made = schedule(A)
    for _ in range(5):
        made.pop_due(1e6, 1)
        made.failed(A, 0.0)
    made.pop_due(1e6, 1)
    made.succeeded(A, 60, 0.0)
    made.pop_due(1e6, 1)
    made.failed(A, 0.0)
    assert made.next_due() == BACKOFF_FIRST_S


def test_another_policy_keeps_the_times_of_the_names_that_stay() -> None:
    """A reload looks up what is new, and does not ask for everything again."""
    made = schedule(A, B)
    made.pop_due(0.0, 10)
    made.succeeded(A, 600, 0.0)
    made.succeeded(B, 600, 0.0)
    made.replace([A, C], 10.0, min_ttl_s=60, grace_s=300)
    assert len(made) == 2
    assert made.pop_due(10.0, 10) == (C,)
    assert made.pop_due(600.0, 10) == (A,)
    assert made.pop_due(1e9, 10) == ()


def test_another_policy_keeps_the_failures_of_the_names_that_stay() -> None:
    """A reload does not start the backoff again."""
    made = schedule(A)
    for _ in range(3):
        made.pop_due(1e6, 1)
        made.failed(A, 0.0)
    made.replace([A], 0.0, min_ttl_s=60, grace_s=300)
    made.pop_due(1e6, 1)
    made.failed(A, 0.0)
    assert made.next_due() == 8 * BACKOFF_FIRST_S


def test_a_lookup_that_ends_after_its_name_was_removed_is_ignored() -> None:
    """Also if another policy has brought the name back: it is due at once, once."""
    made = schedule(A, B)
    made.pop_due(0.0, 10)
    made.replace([], 1.0, min_ttl_s=60, grace_s=300)
    made.succeeded(A, 60, 2.0)
    made.failed(B, 2.0)
    assert made.next_due() is None
    made.replace([A], 3.0, min_ttl_s=60, grace_s=300)
    made.succeeded(A, 60, 4.0)
    assert made.next_due() == 3.0
    assert made.pop_due(1e9, 10) == (A,)


def test_lookups_follow_the_lifetimes_of_the_new_policy() -> None:
    """A reload changes floor and grace from the next lookup on."""
    made = schedule(A)
    made.replace([A], 0.0, min_ttl_s=100, grace_s=300)
    made.pop_due(0.0, 1)
    made.succeeded(A, 1, 0.0)
    assert made.next_due() == 100


def test_names_that_fail_are_counted() -> None:
    """Until they succeed, or leave the policy."""
    made = schedule(A, B, C)
    made.pop_due(0.0, 3)
    assert made.failing == 0
    for name in (A, B):
        made.failed(name, 0.0)
    made.succeeded(C, 60, 0.0)
    assert made.failing == 2
    made.pop_due(1.0, 2)
    made.failed(A, 1.0)
    made.succeeded(B, 60, 1.0)
    assert made.failing == 1
    made.replace([B, C], 1.0, min_ttl_s=60, grace_s=300)
    assert made.failing == 0
    assert A not in made
    assert B in made
