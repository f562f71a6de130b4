"""A policy that can't be put in force takes nothing from what was open before."""

from __future__ import annotations

from enforcer.core.changes import Change
from tests.unit.test_bindings import GRACE_S, MIN_TTL_S, bindings, grants, observe, targets


def test_what_a_policy_took_away_comes_back() -> None:
    """With its lifetime; what was opened under that policy goes."""
    held = bindings()
    observe(held, "gone.example", ["198.18.0.1", "198.18.0.2"], 0.0, ttl_s=9000)
    observe(held, "stays.example", ["198.18.0.2", "198.18.0.3"], 0.0)
    before, mark = held.elements(2.0), held.mark()
    held.retain(grants("stays.example", "new.example"), 1.0, min_ttl_s=0, grace_s=0)
    observe(held, "new.example", ["198.18.0.4"], 1.0, ttl_s=9000)
    change = held.restore(mark, 2.0)
    assert targets(change.delete) == [("198.18.0.4", 443)]
    assert targets(change.rewrite) == [("198.18.0.1", 443), ("198.18.0.2", 443)]
    assert held.elements(2.0) == before
    # Lifetimes are those of the policy before, and the order of their ends holds.
    observe(held, "stays.example", ["198.18.0.5"], 2.0)
    ends = {str(e.address): e.expires for e in held.elements(2.0)}
    assert ends["198.18.0.5"] == 2.0 + MIN_TTL_S + GRACE_S + 1.0
    held.expire(500.0)
    assert targets(held.elements(500.0)) == [("198.18.0.1", 443), ("198.18.0.2", 443)]


def test_nothing_is_restored_where_nothing_was_taken() -> None:
    """The kernel refused before the bindings were asked: what came meanwhile stays."""
    held = bindings()
    mark = held.mark()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    assert held.restore(mark, 1.0) == Change()
    assert targets(held.elements(1.0)) == [("198.18.0.1", 443)]
