"""What our table holds in the kernel, read from nft's JSON listing.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from enforcer.core.addresses import Address
from enforcer.core.chains import BASE_CHAINS, JUDGING_CHAINS, LAST_CHAIN, missing_chains
from enforcer.core.policy import Mode
from enforcer.core.ruleset import DENIED_COUNTER, FAMILY, TABLE
from enforcer.core.sets import SETS


@dataclass(frozen=True)
class ListedElement:
    """One element of an allow set, as the kernel holds it.

    Attributes:
        address: the destination.
        port: TCP port.
        expires_s: lifetime left in seconds; None when it never ends.
        comment: its hosts; empty until user space has written it.
    """

    address: Address
    port: int
    expires_s: float | None
    comment: str


@dataclass(frozen=True)
class TableState:
    """Our table in the kernel.

    Attributes:
        present: the table exists.
        mode: what it does to a packet that nothing permits; None when it is not
            a ruleset of ours, or not a whole one.
        missing: the base chains that it should have and has not.
        passing: the chains that packets go through and that let pass what nothing permits,
            by their last rules.
        elements: of both allow sets, if the listing has elements at all.
        denied: packets counted as denied since the ruleset was applied; None
            where the kernel has no counters.
    """

    present: bool
    mode: Mode | None
    missing: tuple[str, ...]
    passing: tuple[str, ...]
    elements: tuple[ListedElement, ...]
    denied: int | None


ABSENT = TableState(present=False, mode=None, missing=(), passing=(), elements=(), denied=None)


def parse_listing(text: str) -> TableState:
    """Return the state of our table from what ``nft -j list ruleset`` printed.

    With ``-t``, or a listing of the table alone, it is the same without elements or
    without the tables of others.

    Raises:
        ValueError: the text is not such a listing.
    """
    try:
        objects = [each for each in json.loads(text)["nftables"] if _is_ours(each)]
        chains = [each["chain"] for each in objects if "chain" in each]
        names = {chain["name"] for chain in chains}
        # No packet comes to a chain called `output` that has lost its hook.
        reached = {c["name"] for c in chains if "hook" in c or c["name"] not in BASE_CHAINS}
        rules = [each["rule"] for each in objects if "rule" in each]
        # nft 1.0.6 has a random word for the flag of a dormant table; ours has no flag.
        dormant = any("flags" in each["table"] for each in objects if "table" in each)
        mode = next((mode for mode, chain in LAST_CHAIN.items() if chain in names), None)
        counters = [each["counter"] for each in objects if "counter" in each]
        sets = [each["set"] for each in objects if "set" in each]
        return TableState(
            present=bool(objects),
            mode=mode,
            missing=missing_chains(reached.__contains__) if objects else (),
            passing=tuple(sorted(reached & _passing(rules, mode, dormant=dormant))),
            elements=tuple(_elements(sets)),
            denied=next((c["packets"] for c in counters if c["name"] == DENIED_COUNTER), None),
        )
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(f"not a listing of nft: {exc!r}") from exc


def _passing(rules: list[Any], mode: Mode | None, *, dormant: bool) -> set[str]:
    """Return the chains, if they exist, that don't end as they must."""
    ends = {rule["chain"]: (rule["expr"] or [{}])[-1] for rule in rules}  # the last one of each
    last = LAST_CHAIN[mode] if mode else None
    passing = set()
    for chain in JUDGING_CHAINS:
        if dormant or last is None or ends.get(chain) != {"goto": {"target": last}}:
            passing.add(chain)
    if mode is Mode.ENFORCE and last and not ends.get(last, {}).keys() & {"drop", "reject"}:
        passing.add(last)
    return passing


def _is_ours(item: dict[str, dict[str, Any]]) -> bool:
    ((kind, content),) = item.items()
    name = content.get("name" if kind == "table" else "table")
    return name == TABLE and content["family"] == FAMILY


def _elements(sets: list[Any]) -> Iterator[ListedElement]:
    allow = {names.allow for names in SETS.values()}
    for each in sets:
        if each["name"] not in allow:
            continue
        for item in each.get("elem", ()):
            # nft wraps an element only if it has more than its key.
            wrapped = item.get("elem", {"val": item})
            address, port = wrapped["val"]["concat"]
            yield ListedElement(
                address=ipaddress.ip_address(address),
                port=port,
                expires_s=wrapped.get("expires"),
                comment=wrapped.get("comment", ""),
            )
