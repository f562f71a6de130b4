"""Which parts of the table somebody changed."""

from __future__ import annotations

from enforcer.core.judgement import TABLE_ITSELF, judgement

CHAINS = {"output": (b"chain", b"rule"), "denied": (b"chain", b"reject")}
SETS = {"resolvers4": (b"a", b"b")}
BEFORE = judgement((b"table",), CHAINS, SETS).digests


def test_the_order_of_rules_counts_and_that_of_elements_does_not() -> None:
    """The kernel lists a set as it likes."""
    assert judgement((b"table",), CHAINS, {"resolvers4": (b"b", b"a")}).changed(BEFORE) == ()
    swapped = CHAINS | {"output": (b"rule", b"chain")}
    assert judgement((b"table",), swapped, SETS).changed(BEFORE) == ("chain output",)


def test_where_a_rule_begins_counts() -> None:
    """Two that join to the same octets are other rules."""
    joined = CHAINS | {"output": (b"chainr", b"ule")}
    assert judgement((b"table",), joined, SETS).changed(BEFORE) == ("chain output",)


def test_what_is_gone_and_what_is_new_are_changes() -> None:
    """By name; of a table that is gone only that."""
    fewer = {"output": CHAINS["output"], "theirs": (b"chain",)}
    changed = judgement((b"table",), fewer, SETS).changed(BEFORE)
    assert changed == ("chain denied", "chain theirs")
    assert judgement((b"dormant",), CHAINS, SETS).changed(BEFORE) == (TABLE_ITSELF,)
    assert judgement((), {}, {"resolvers4": ()}).changed(BEFORE) == (TABLE_ITSELF,)
