"""Known traps: in a policy that is valid, and in what is configured beside it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.explain import explain
from enforcer.core.grants import Grants
from enforcer.core.host_and_port import HTTPS
from enforcer.core.hosts import Host
from enforcer.core.known import OWN_HOSTS
from enforcer.core.lint_machine import machine_findings
from enforcer.core.policy import Policy
from enforcer.core.presets import presets
from enforcer.core.suffixes import is_public_suffix, public_suffix_within
from enforcer.core.target import Image
from enforcer.core.trap import Finding
from enforcer.errors import PolicyProblem

# Registries change their hosts about that often: see the dates of the changes that
# `sources` in presets.yaml lead to.
STALE = dt.timedelta(days=180)
# Serves the buckets of everybody by their path; no public suffix, as its names are not.
SHARED_HOSTS = frozenset({"storage.googleapis.com"})


@dataclass(frozen=True)
class PolicyText:
    """A valid policy, and where its file names what.

    Attributes:
        path: of the file, for messages.
        places: each host, as `placed_hosts` returns them.
    """

    path: str
    policy: Policy
    places: tuple[tuple[PolicyProblem, Host], ...]


def lint(
    found: PolicyText,
    resolvers: Collection[Address],
    files: Mapping[str, str],
    today: dt.date,
) -> tuple[Finding, ...]:
    """Return the traps that *found* and what is configured beside it walk into.

    Args:
        found: the policy.
        resolvers: that would be trusted on this machine.
        files: what other files of it say, by path: see `enforcer.edge.surroundings`.
        today: to tell what is old.
    """
    grants = Grants(found.policy.hosts)
    own = [*_incomplete(found), *_shared(found), *_stale(found, today)]
    return (*sorted(own, key=lambda each: each.line), *machine_findings(files, grants, resolvers))


def _at(found: PolicyText, place: PolicyProblem, reason: str, hint: str) -> Finding:
    return Finding(found.path, place.line, place.key, reason, hint)


def _incomplete(found: PolicyText) -> Iterator[Finding]:
    """Yield the registries whose pulls stop at a host that is not permitted."""
    for place, host in found.places:
        domain = host.pattern.domain
        if host.pattern.wildcard or HTTPS not in host.ports or host.origin != OWN_HOSTS:
            continue
        why = explain(Image(domain, HTTPS, domain), found.policy)
        missing = [str(need.pattern) for need in why.needs if need.entry is None]
        if why.registry is not None and missing:
            reason = f"a pull from {domain} needs {_listed(missing)} too"
            lines = "; ".join(line.strip().removeprefix("- ") for line in why.add)
            hint = f"use the preset {why.registry}, or add under hosts: {lines}"
            yield _at(found, place, reason, hint)


def _shared(found: PolicyText) -> Iterator[Finding]:
    """Yield what strangers may publish at, or below."""
    seen: set[tuple[int, str]] = set()
    for place, host in found.places:
        domain, text = host.pattern.domain, str(host.pattern)
        wide = public_suffix_within(domain) if host.pattern.wildcard else None
        if (place.line, text) in seen:
            continue
        seen.add((place.line, text))
        if wide is not None:
            reason = f"{text} permits the hosts of anybody who rents one below {wide}"
            yield _at(found, place, reason, "name the hosts that pulls need, if they stay the same")
        elif not host.pattern.wildcard and (domain in SHARED_HOSTS or is_public_suffix(domain)):
            reason = f"{domain} is everybody's: names below it, or buckets by their path"
            yield _at(found, place, reason, "use a name that is one bucket's or one account's")


def _stale(found: PolicyText, today: dt.date) -> Iterator[Finding]:
    known = presets()
    used = {host.origin: place for place, host in reversed(found.places) if host.origin in known}
    for name, place in used.items():
        preset = known[name]
        if today - preset.checked > STALE:
            reason = f"the hosts of {name} were read from their source on {preset.checked}"
            yield _at(found, place, reason, f"update enforcer, or compare {preset.sources[0]}")


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
