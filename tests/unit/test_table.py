"""Reading nft's JSON listing of our table."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from enforcer.core.policy import Mode
from enforcer.core.table import ABSENT, ListedElement, TableState, parse_listing

OURS = {"family": "inet", "table": "enforcer"}


def rule(chain: str, *statements: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as nft lists it."""
    return {"rule": {**OURS, "chain": chain, "expr": list(statements)}}


# As `nft -j list table inet enforcer` (nftables 1.0.6, Linux 6.18) printed it;
# most rules, handles and most sets are left out.
LISTING: list[dict[str, Any]] = [
    {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
    {"table": {"family": "inet", "name": "enforcer"}},
    {
        "counter": {
            "family": "inet",
            "name": "denied",
            "table": "enforcer",
            "packets": 7,
            "bytes": 420,
        }
    },
    {
        "set": {
            "family": "inet",
            "name": "allow4",
            "table": "enforcer",
            "type": ["ipv4_addr", "inet_service"],
            "size": 65536,
            "flags": ["timeout"],
            "elem": [
                {
                    "elem": {
                        "val": {"concat": ["198.18.0.1", 443]},
                        "timeout": 360,
                        "expires": 359,
                        "comment": "ghcr.io",
                    }
                },
                {"elem": {"val": {"concat": ["198.18.0.2", 443]}, "timeout": 60, "expires": 59}},
                {"concat": ["198.18.0.3", 443]},
            ],
        }
    },
    {
        "set": {
            "family": "inet",
            "name": "allow6",
            "table": "enforcer",
            "type": ["ipv6_addr", "inet_service"],
            "elem": [
                {"elem": {"val": {"concat": ["2001:db8::1", 80]}, "timeout": 60, "expires": 1}}
            ],
        }
    },
    {
        "set": {
            "family": "inet",
            "name": "resolvers4",
            "table": "enforcer",
            "type": "ipv4_addr",
            "elem": ["192.0.2.7"],
        }
    },
    {
        "chain": {
            "family": "inet",
            "table": "enforcer",
            "name": "output",
            "type": "filter",
            "hook": "output",
            "prio": -10,
            "policy": "accept",
        }
    },
    {"chain": {"family": "inet", "table": "enforcer", "name": "denied"}},
    rule("output", {"jump": {"target": "permitted"}}),
    rule("output", {"goto": {"target": "denied"}}),
    rule("denied", {"counter": "denied"}),
    rule("denied", {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}),
]


def listing(objects: list[dict[str, Any]]) -> str:
    """Return *objects* as nft would print them."""
    return json.dumps({"nftables": objects})


def test_a_listing_is_read() -> None:
    """Elements with and without lifetime and comment, chains, mode and counter."""
    assert parse_listing(listing(LISTING)) == TableState(
        present=True,
        mode=Mode.ENFORCE,
        missing=("forward",),
        passing=(),
        elements=(
            ListedElement(ip_address("198.18.0.1"), 443, 359, "ghcr.io"),
            ListedElement(ip_address("198.18.0.2"), 443, 59, ""),
            ListedElement(ip_address("198.18.0.3"), 443, None, ""),
            ListedElement(ip_address("2001:db8::1"), 80, 1, ""),
        ),
        denied=7,
    )


def test_tables_of_others_are_not_read() -> None:
    """One of another name or family, whatever it has, is nobody's business here."""
    theirs: list[dict[str, Any]] = [
        {"table": {"family": "ip", "name": "enforcer"}},
        {"chain": {"family": "ip", "table": "enforcer", "name": "audited", "hook": "input"}},
        {"table": {"family": "inet", "name": "filter"}},
        {"counter": {"family": "inet", "table": "filter", "name": "denied", "packets": 1}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": []}},
    ]
    assert parse_listing(listing(theirs)) == ABSENT
    assert parse_listing(listing([*theirs, *LISTING])) == parse_listing(listing(LISTING))


def test_a_table_that_is_not_ours_has_no_mode() -> None:
    """Someone else's empty table of our name is present, and enforces nothing."""
    assert parse_listing(listing(LISTING[:2])) == TableState(
        present=True, mode=None, missing=("output", "forward"), passing=(), elements=(), denied=None
    )


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ((), ()),
        (("output",), ("output",)),
        (("input",), ("input",)),
        (("prerouting",), ("prerouting",)),
        # A kernel without connection labels has none of them.
        (("prerouting", "input", "unjudged"), ()),
    ],
)
def test_missing_base_chains_are_told(gone: tuple[str, ...], missing: tuple[str, ...]) -> None:
    """Also those that label connections, in a table that does."""
    chains = [
        {"chain": {**OURS, "name": name, "hook": name}}
        for name in ("output", "forward", "prerouting", "input")
    ]
    chains.append({"chain": {**OURS, "name": "unjudged"}})
    left = [each for each in chains if each["chain"]["name"] not in gone]
    assert parse_listing(listing(left)).missing == missing


def test_a_chain_without_its_hook_is_missing() -> None:
    """It has the name of a base chain, and no packet comes to it."""
    chains = [{"chain": {**OURS, "name": name}} for name in ("output", "forward")]
    assert parse_listing(listing(chains)).missing == ("output", "forward")


@pytest.mark.parametrize(
    ("flushed", "passing"),
    [((), ()), (("output",), ("output",)), (("denied",), ("denied",))],
)
def test_a_chain_without_its_last_rule_lets_pass(
    flushed: tuple[str, ...], passing: tuple[str, ...]
) -> None:
    """It is there, and packets fall through it: such a table was taken for one that denies."""
    left = [each for each in LISTING if each.get("rule", {}).get("chain") not in flushed]
    assert parse_listing(listing(left)).passing == passing


def test_a_table_that_sleeps_judges_nothing() -> None:
    """No packet comes to any chain of a dormant table."""
    flagged = {"table": {"family": "inet", "name": "enforcer", "flags": "denied"}}
    assert parse_listing(listing([flagged, *LISTING[2:]])).passing == ("output",)


def test_the_last_chain_tells_the_mode() -> None:
    """A table in audit mode says so."""
    audited = {"chain": {"family": "inet", "table": "enforcer", "name": "audited"}}
    assert parse_listing(listing([*LISTING[:-5], audited])).mode is Mode.AUDIT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"nftables": [1]}',
        '{"nftables": [{"set": 1}]}',
        listing([{"chain": OURS}]),
        listing([{"set": {**OURS, "name": "allow4", "elem": [{"elem": {"val": 1}}]}}]),
    ],
)
def test_what_is_no_listing_is_an_error(text: str) -> None:
    """Only ValueError comes of it, whatever nft printed."""
    with pytest.raises(ValueError, match=r"."):
        parse_listing(text)
