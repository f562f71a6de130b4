"""The daemon's answers on the control socket, as JSON documents. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import dns.name

from enforcer.abi import Stat
from enforcer.core.addresses import Address
from enforcer.core.denial_words import as_document, protocol
from enforcer.core.denials import Denial
from enforcer.core.denied_hosts import LATELY_S, DeniedHost, denied_hosts
from enforcer.core.explain import Entry, Explanation, Need
from enforcer.core.holders import Binding
from enforcer.core.hostname import Pattern
from enforcer.core.policy import Mode, Policy
from enforcer.core.proof import FamilyProof
from enforcer.core.repairs import Repair
from enforcer.core.suggest import Suggestion, in_yaml
from enforcer.daemon.in_force import InForce

# The others are to be had from `enforcer denials`.
STATUS_DENIALS = 20
STATUS_HOSTS = 50


def daemon_view(
    in_force: InForce,
    stats: Mapping[Stat, int],
    gave_way: int,
    repairs: Iterable[Repair],
    *,
    changed: bool,
) -> dict[str, Any]:
    """Return what only the daemon knows for `enforcer status --json`."""
    policy = in_force.policy
    return {
        "policy": {
            "organization": policy.organization,
            "hosts": len(policy.hosts),
            "digest": policy.digest,
            "loaded_at": _timestamp(in_force.since),
            "changed": changed,
        },
        "learning": {stat.name.lower(): stats[stat] for stat in Stat} | {"gave_way": gave_way},
        "resolvers": [str(address) for address in in_force.resolvers],
        "repaired": [
            {"text": each.text, "at": _timestamp(each.at), "times": each.times} for each in repairs
        ],
    }


def _timestamp(at: float) -> str:
    utc = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return utc.isoformat(timespec="seconds")


def hosts_view(
    in_force: InForce, bindings: Iterable[Binding], wanted: Pattern | Address | None, now: float
) -> dict[str, Any]:
    """Return the document of `enforcer hosts --json`: what the policy permits of *wanted*.

    Of an address that is wanted: the hosts it is open for.

    What the policy lists appears without an address too; names below a wildcard
    once an answer was seen for them, or when one is asked for.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if wanted is None or isinstance(wanted, Pattern):
        for grant in in_force.grants:
            if wanted is None or wanted.covers(grant.pattern):
                found[str(grant.pattern)] = []
    if isinstance(wanted, Pattern) and not wanted.wildcard and in_force.grants.match(wanted.name):
        found[str(wanted)] = []
    for binding in bindings:
        if _is_about(binding, wanted):
            found.setdefault(binding.host, []).append(
                {
                    "address": str(binding.address),
                    "ports": list(binding.ports),
                    "expires_s": round(binding.expires - now),
                    "learned": [origin.value for origin in binding.origins],
                }
            )
    return {"hosts": [{"host": name, "addresses": found[name]} for name in sorted(found)]}


def explain_view(
    found: Explanation, bindings: Iterable[Binding], mode: Mode, seen: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the document of `enforcer explain --json`, but for what only asking tells.

    Args:
        found: the explanation.
        bindings: what is open.
        mode: of the policy in force.
        seen: of an address: the names that it was answered for lately, the last one first.
    """
    open_now: dict[str, list[str]] = {}
    for binding in bindings:
        open_now.setdefault(binding.host, []).append(str(binding.address))
    return {
        "target": found.what,
        "mode": mode.value,
        "allowed": found.allowed,
        "registry": found.registry,
        "hosts": [_need(need, open_now) for need in found.needs],
        "entry": _entry(found.entry),
        "names": list(found.names),
        "seen": list(seen),
        "add": list(found.add),
        "note": found.note,
    }


def denials_view(found: Iterable[Denial], revision: int, daemon: str) -> dict[str, Any]:
    """Return what `enforcer denials` shows.

    Args:
        found: records, in order.
        revision: what comes after has a larger one.
        daemon: tells one from the next, which counts anew.
    """
    documents = [as_document(each) for each in found]
    return {"daemon": daemon, "revision": revision, "denials": documents}


def denied_view(
    records: Iterable[Denial], total: int | None, lost: int, now: float
) -> dict[str, Any]:
    """Return what `enforcer status --json` says of denials.

    Args:
        records: of them, oldest first.
        total: packets; None where the kernel does not count.
        lost: that were logged and did not become part of a record.
        now: wall clock, seconds since the epoch.
    """
    kept = list(records)
    latest = kept[-STATUS_DENIALS:]
    recent = [as_document(each) for each in latest]
    hosts = [_denied_host(each, now) for each in denied_hosts(kept, now - LATELY_S)]
    return {"total": total, "lost": lost, "hosts": hosts[:STATUS_HOSTS], "recent": recent}


def _denied_host(each: DeniedHost, now: float) -> dict[str, Any]:
    return {
        "host": each.host or None,
        "address": str(each.address),
        "port": each.port or None,
        "protocol": protocol(each.protocol),
        "packets": each.packets,
        "processes": list(each.askers),
        "last": _timestamp(each.last),
        # The clock may have been put back.
        "age_s": round(max(0.0, now - each.last), 1),
    }


def proof_view(
    proof: Iterable[FamilyProof], at: float | None, age_s: float | None
) -> dict[str, Any]:
    """Return what `enforcer status --json` says of what probes of the ruleset showed.

    Args:
        proof: of each family.
        at: when something was proved last, seconds since the epoch.
        age_s: how long ago that is.
    """
    return {
        "at": None if at is None else _timestamp(at),
        "age_s": None if age_s is None else round(age_s, 1),
        "families": [
            {
                "family": each.family,
                "outcome": each.outcome.value,
                "denied": None if each.denied is None else str(each.denied),
                "accepted": None if each.accepted is None else _place(*each.accepted),
                "why": each.why or None,
            }
            for each in proof
        ],
    }


def _place(address: Address, port: int) -> str:
    return f"{address} port {port}"


def suggestion_view(
    found: Suggestion, policy: Policy, since: float, forgotten: int
) -> dict[str, Any]:
    """Return the document of `enforcer policy suggest --json`.

    Args:
        found: what would permit what was denied.
        policy: in force.
        since: when denials were first counted.
        forgotten: hosts that were too many to be remembered.
    """
    left = [
        {
            "host": each.wanted.host or None,
            "address": str(each.wanted.address),
            "port": each.wanted.port or None,
            "protocol": protocol(each.wanted.protocol),
            "count": each.wanted.packets,
            "processes": list(each.wanted.processes),
            "reason": each.reason,
        }
        for each in found.left
    ]
    return {
        "organization": policy.organization,
        "mode": policy.mode.value,
        "since": _timestamp(since),
        "forgotten": forgotten,
        "registries": [{"entry": each.text, "hosts": each.hosts} for each in found.registries],
        "hosts": [asdict(each) for each in found.hosts],
        "left": left,
        "lines": list(in_yaml(found)),
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


def _is_about(binding: Binding, wanted: Pattern | Address | None) -> bool:
    if isinstance(wanted, Pattern):
        return wanted.matches(dns.name.from_text(binding.host))
    return wanted is None or binding.address == wanted
