"""What one policy permits and another does not.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from enforcer.core.hosts import Host
from enforcer.core.policy import Policy, describe


@dataclass(frozen=True)
class Comparison:
    """How a policy differs from the one before.

    Attributes:
        added: a line for each host and port, or network, that is permitted now only.
        removed: one for each that was before only.
        changed: one for each setting, with both values.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both permit the same things in the same way."""
        return not (self.added or self.removed or self.changed)


def compare(old: Policy, new: Policy) -> Comparison:
    """Compare *new* with *old*. What an entry comes from, and where it stands, don't matter."""
    before, after = dict.fromkeys(_permitted(old)), dict.fromkeys(_permitted(new))
    return Comparison(
        added=tuple(line for line in after if line not in before),
        removed=tuple(line for line in before if line not in after),
        changed=tuple(_changed(old, new)),
    )


def _permitted(policy: Policy) -> Iterator[str]:
    for host in policy.hosts:
        yield from _ports(host)
    yield from (f"network {network}" for network in policy.networks)


def _ports(host: Host) -> Iterator[str]:
    for port in host.ports:
        yield f"{host.pattern}:{port}{' private' if host.private else ''}"


def _changed(old: Policy, new: Policy) -> Iterator[str]:
    before, after = (describe(replace(policy, hosts=(), networks=())) for policy in (old, new))
    for name, value in after.items():
        if value != before[name]:
            yield f"{name}: {_shown(before[name])} -> {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value)
