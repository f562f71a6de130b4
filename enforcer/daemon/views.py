"""The daemon's answers on the control socket, as JSON documents. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import dns.name

from enforcer.abi import Stat
from enforcer.core.bindings import Binding
from enforcer.core.explain import Entry, Explanation, Need
from enforcer.core.hostname import Pattern
from enforcer.daemon.in_force import InForce
from enforcer.daemon.problems import Problem


def daemon_view(
    in_force: InForce, stats: Mapping[Stat, int], gave_way: int, problems: Iterable[Problem]
) -> dict[str, Any]:
    """Return what only the daemon knows for `enforcer status --json`."""
    policy = in_force.policy
    since = datetime.datetime.fromtimestamp(in_force.since, datetime.timezone.utc)
    return {
        "policy": {
            "organization": policy.organization,
            "hosts": len(policy.hosts),
            "digest": policy.digest,
            "loaded_at": since.isoformat(timespec="seconds"),
        },
        "learning": {stat.name.lower(): stats[stat] for stat in Stat} | {"gave_way": gave_way},
        "resolvers": [str(address) for address in in_force.resolvers],
        "problems": [{"text": problem.text, "hint": problem.hint} for problem in problems],
    }


def hosts_view(
    in_force: InForce, bindings: Iterable[Binding], wanted: Pattern | None, now: float
) -> dict[str, Any]:
    """Return the document of `enforcer hosts --json`: what the policy permits of *wanted*.

    What the policy lists appears without an address too; names below a wildcard
    once an answer was seen for them, or when one is asked for.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for grant in in_force.grants:
        if wanted is None or wanted.covers(grant.pattern):
            found[str(grant.pattern)] = []
    if wanted is not None and not wanted.wildcard and in_force.grants.match(wanted.name):
        found[str(wanted)] = []
    for binding in bindings:
        if wanted is None or wanted.matches(dns.name.from_text(binding.host)):
            found.setdefault(binding.host, []).append(
                {
                    "address": str(binding.address),
                    "ports": list(binding.ports),
                    "expires_s": round(binding.expires - now),
                    "learned": [origin.value for origin in binding.origins],
                }
            )
    return {"hosts": [{"host": name, "addresses": found[name]} for name in sorted(found)]}


def explain_view(found: Explanation, bindings: Iterable[Binding]) -> dict[str, Any]:
    """Return the document of `enforcer explain --json`, but for what only asking tells."""
    open_now: dict[str, list[str]] = {}
    for binding in bindings:
        open_now.setdefault(binding.host, []).append(str(binding.address))
    return {
        "target": found.what,
        "allowed": found.allowed,
        "registry": found.registry,
        "hosts": [_need(need, open_now) for need in found.needs],
        "entry": _entry(found.entry),
        "names": list(found.names),
        "add": list(found.add),
        "note": found.note,
    }


def _need(need: Need, open_now: Mapping[str, list[str]]) -> dict[str, Any]:
    host = str(need.pattern)
    return {
        "host": host,
        "port": need.port,
        "purpose": need.purpose.value,
        "allowed": need.entry is not None,
        "entry": _entry(need.entry),
        "addresses": open_now.get(host, []),
    }


def _entry(entry: Entry | None) -> dict[str, str] | None:
    return None if entry is None else {"text": entry.text, "origin": entry.origin}
