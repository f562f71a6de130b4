"""A policy: what a machine may reach, as its policy file says.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from enforcer.core.addresses import Address, Network
from enforcer.core.document import Value, load
from enforcer.core.entries import too_many
from enforcer.core.grants import MAX_PORTS, Grants
from enforcer.core.hostname import Pattern
from enforcer.core.policy_file import HTTPS, DnsSection, PolicyFile
from enforcer.core.problems import Path, problem_at, problems
from enforcer.errors import PolicyError, PolicyProblem

DEFAULT_POLICY: Final = "/etc/enforcer/policy.yaml"
OWN_HOSTS: Final = "hosts"  # the origin of a host that no preset names
EMPTY_FILE = PolicyProblem(0, "", "the file is empty", "`enforcer policy init` writes one")


class Mode(enum.Enum):
    """What happens to what the policy doesn't allow: it is denied, or only logged."""

    ENFORCE = "enforce"
    AUDIT = "audit"


@dataclass(frozen=True)
class Host:
    """A host, all entries for the same pattern taken together.

    Attributes:
        ports: TCP, sorted, at least one.
        private: it may have private addresses.
        origin: where it is written: ``hosts``, or the preset; all of them if
            several, sorted and with a comma between.
    """

    pattern: Pattern
    ports: tuple[int, ...]
    private: bool
    origin: str


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
    digest: str


Placed: TypeAlias = tuple[Path, Host]  # a host, and where the file names it


def parse_policy(text: str, path: str) -> Policy:
    """Parse the policy file *text*.

    Args:
        text: what the file holds.
        path: what to call the file in messages.

    Raises:
        PolicyError: with everything that is wrong, each with its line and key.
    """
    document = load(text)
    found = list(document.problems)
    if document.root is None and not found:
        raise PolicyError(path, (EMPTY_FILE,))
    try:
        file = PolicyFile.model_validate(document.root)
    except ValidationError as exc:
        found += problems(document.root, exc)
        raise _error(path, found) from exc
    hosts = tuple(_hosts(file))
    found += _port_problems(document.root, hosts)
    if found:
        raise _error(path, found)
    return _policy(file, hosts)


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
    }


def _error(path: str, found: Iterable[PolicyProblem]) -> PolicyError:
    return PolicyError(path, tuple(sorted(dict.fromkeys(found), key=lambda problem: problem.line)))


def _policy(file: PolicyFile, hosts: tuple[Placed, ...]) -> Policy:
    dns = file.dns or DnsSection()
    # `system` and nothing mean the same.
    listed = file.resolvers if isinstance(file.resolvers, list) else None
    policy = Policy(
        organization=file.organization,
        mode=Mode(file.mode),
        hosts=_merged(host for _, host in hosts),
        networks=_outermost(file.networks or ()),
        resolvers=tuple(dict.fromkeys(listed)) if listed else None,
        min_ttl_s=dns.min_ttl,
        grace_s=dns.grace,
        digest="",
    )
    canonical = json.dumps(describe(policy), separators=(",", ":"), sort_keys=True)
    return replace(policy, digest=hashlib.sha256(canonical.encode()).hexdigest())


def _hosts(file: PolicyFile) -> Iterator[Placed]:
    """Yield each host that *file* names, and where it does."""
    for i, choice in enumerate(file.registries or ()):
        for pattern in choice.patterns:
            yield ("registries", i), Host(pattern, (HTTPS,), private=False, origin=choice.preset)
    for i, entry in enumerate(file.hosts or ()):
        ports = tuple(sorted(set(entry.ports)))
        yield ("hosts", i), Host(entry.host, ports, private=entry.private, origin=OWN_HOSTS)


def _port_problems(root: Value, hosts: tuple[Placed, ...]) -> Iterator[PolicyProblem]:
    """Yield what has too many ports once all that covers it is taken together."""
    if len({port for _, host in hosts for port in host.ports}) <= MAX_PORTS:
        return
    last = {host.pattern.sort_key(): path for path, host in hosts}
    for grant in Grants(host for _, host in hosts):
        if len(grant.ports) > MAX_PORTS:
            fault = too_many(len(grant.ports), of=str(grant.pattern))
            problem = problem_at(root, last[grant.pattern.sort_key()], fault)
            if problem:
                yield problem


def _merged(hosts: Iterable[Host]) -> tuple[Host, ...]:
    same: dict[Any, list[Host]] = {}
    for host in hosts:
        same.setdefault(host.pattern.sort_key(), []).append(host)
    return tuple(_union(same[key]) for key in sorted(same))


def _union(hosts: list[Host]) -> Host:
    if len(hosts) == 1:
        return hosts[0]
    return Host(
        pattern=hosts[0].pattern,
        ports=tuple(sorted({port for host in hosts for port in host.ports})),
        private=any(host.private for host in hosts),
        origin=", ".join(sorted({host.origin for host in hosts})),
    )


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
