"""A policy: what a machine may reach, as its policy file says.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from enforcer.core.addresses import Address, Network
from enforcer.core.choices import Choice
from enforcer.core.document import Value, load
from enforcer.core.entries import too_many
from enforcer.core.faults import Fault
from enforcer.core.grants import MAX_PORTS, Grants
from enforcer.core.host_and_port import HTTPS
from enforcer.core.hostname import Pattern
from enforcer.core.hosts import Host, merged
from enforcer.core.known import Known
from enforcer.core.mistakes import Path, mistakes, problem_at
from enforcer.core.policy_form import DnsSection, PolicyFile, host_or_entry
from enforcer.errors import PolicyError, PolicyProblem

EMPTY_FILE = PolicyProblem(
    0, "", "the file is empty", "`enforcer policy init --force --output FILE` writes one"
)


class Mode(enum.Enum):
    """What happens to what the policy doesn't allow: it is denied, or only logged."""

    ENFORCE = "enforce"
    AUDIT = "audit"


@dataclass(frozen=True)
class Policy:
    """What a machine may reach.

    Attributes:
        hosts: one for each pattern, sorted by domain.
        networks: always allowed; sorted, none within another.
        resolvers: whose answers count, first the one to ask first; None means
            those of the system, as they change.
        min_ttl_s: an address stays open for its TTL, but at least so long,
        grace_s: and so long after that.
        watch: a file that changes is put in force by itself.
        metrics_port: of TCP on the loopback, where metrics are served; None: on none.
        digest: SHA-256 in hexadecimal of all the above, so that comments and the
            order of entries don't matter.
    """

    organization: str
    mode: Mode
    hosts: tuple[Host, ...]
    networks: tuple[Network, ...]
    resolvers: tuple[Address, ...] | None
    min_ttl_s: int
    grace_s: int
    watch: bool
    metrics_port: int | None
    digest: str


def parse_policy(text: str, path: str, before: Grants | None = None) -> Policy:
    """Parse the policy file *text*.

    Args:
        text: what the file holds.
        path: what to call the file in messages.
        before: of a policy whose hosts are used again where they are the same.

    Raises:
        PolicyError: with everything that is wrong, each with its line and key.
    """
    known = Known(Grants(()) if before is None else before)
    document = load(text, {"hosts": lambda entry: host_or_entry(entry, known)})
    found = list(document.problems)
    if document.root is None and not found:
        raise PolicyError(path, (EMPTY_FILE,))
    try:
        file = PolicyFile.model_validate(document.root, context=known)
    except ValidationError as exc:
        found += mistakes(document.root, exc)
        raise _error(path, found) from exc
    found += _port_problems(document.root, file)
    if found:
        raise _error(path, found)
    return _policy(file)


def placed_hosts(text: str) -> tuple[tuple[PolicyProblem, Host], ...]:
    """Return each host that the valid policy *text* names, at a place that is no problem yet."""
    known = Known(Grants(()))
    root = load(text, {"hosts": lambda entry: host_or_entry(entry, known)}).root
    file = PolicyFile.model_validate(root, context=known)
    found = ((problem_at(root, path, Fault((), "", "")), host) for path, host in _placed(file))
    return tuple((place, host) for place, host in found if place is not None)


def describe(policy: Policy) -> dict[str, Any]:
    """Return *policy* as JSON has it, but for its digest."""
    return {
        "organization": policy.organization,
        "mode": policy.mode.value,
        "hosts": [
            {
                "host": str(host.pattern),
                "ports": host.ports,
                "private": host.private,
                "origin": host.origin,
            }
            for host in policy.hosts
        ],
        "networks": [str(network) for network in policy.networks],
        "resolvers": (
            "system" if policy.resolvers is None else [str(address) for address in policy.resolvers]
        ),
        "dns": {"min_ttl": policy.min_ttl_s, "grace": policy.grace_s},
        "watch": policy.watch,
        "metrics": None if policy.metrics_port is None else {"port": policy.metrics_port},
    }


def _error(path: str, found: Iterable[PolicyProblem]) -> PolicyError:
    return PolicyError(path, tuple(sorted(dict.fromkeys(found), key=lambda problem: problem.line)))


def _policy(file: PolicyFile) -> Policy:
    dns = file.dns or DnsSection()
    # `system` and nothing mean the same.
    listed = file.resolvers if isinstance(file.resolvers, list) else None
    policy = Policy(
        organization=file.organization,
        mode=Mode(file.mode),
        hosts=merged(_hosts(file)),
        networks=_outermost(file.networks or ()),
        resolvers=tuple(dict.fromkeys(listed)) if listed else None,
        min_ttl_s=dns.min_ttl,
        grace_s=dns.grace,
        watch=file.watch,
        metrics_port=file.metrics.port if file.metrics else None,
        digest="",
    )
    return replace(policy, digest=_digest(policy))


def _digest(policy: Policy) -> str:
    rest = describe(replace(policy, hosts=()))
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    # One at a time: as one text they would take more memory than the policy.
    for host in policy.hosts:
        digest.update(f"\n{host.pattern} {host.ports} {host.private} {host.origin}".encode())
    return digest.hexdigest()


def _hosts(file: PolicyFile) -> Iterator[Host]:
    """Yield each host that *file* names."""
    for choice in file.registries or ():
        yield from _chosen(choice)
    yield from file.hosts or ()


def _chosen(choice: Choice) -> Iterator[Host]:
    for pattern in choice.patterns:
        yield Host(pattern, (HTTPS,), private=False, origin=choice.preset)


def _port_problems(root: Value, file: PolicyFile) -> Iterator[PolicyProblem]:
    """Yield what has too many ports once all that covers it is taken together."""
    if len({port for host in _hosts(file) for port in host.ports}) <= MAX_PORTS:
        return
    excessive = {
        grant.pattern: len(grant.ports)
        for grant in Grants(_hosts(file))
        if len(grant.ports) > MAX_PORTS
    }
    last: dict[Pattern, Path] = {}
    if excessive:
        last = {host.pattern: path for path, host in _placed(file) if host.pattern in excessive}
    for pattern, ports in excessive.items():
        if problem := problem_at(root, last[pattern], too_many(ports, of=str(pattern))):
            yield problem


def _placed(file: PolicyFile) -> Iterator[tuple[Path, Host]]:
    """Yield each host that *file* names, and where it does."""
    for i, choice in enumerate(file.registries or ()):
        for host in _chosen(choice):
            yield ("registries", i), host
    for i, host in enumerate(file.hosts or ()):
        yield ("hosts", i), host


def _outermost(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Return *networks* sorted, without those that are part of another."""
    kept: list[Network] = []
    # In this order a network comes right after what it may be part of.
    for network in sorted(
        networks, key=lambda n: (n.version, n.network_address.packed, n.prefixlen)
    ):
        if not kept or network.network_address not in kept[-1]:
            kept.append(network)
    return tuple(kept)
