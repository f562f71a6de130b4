"""Grants: what a name may be used for, as the kernel and user space both match it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import dns.name

from enforcer.core.hostname import Pattern

if TYPE_CHECKING:
    from enforcer.core.policy import Host

MAX_PORTS: Final = 16  # as many as a grant in the kernel's map holds

Labels: TypeAlias = tuple[bytes, ...]  # of a name, in lower case, the root's last


@dataclass(frozen=True)
class Grant:
    """What the names of a pattern may be used for, all that covers the pattern taken together.

    The longest match alone is the full answer, as in an LPM trie.

    Attributes:
        ports: TCP, sorted; those of every host whose pattern covers this one.
        private: one of these hosts may have private addresses.
    """

    pattern: Pattern
    ports: tuple[int, ...]
    private: bool


class Grants:
    """The grants of a policy, for looking up names.

    Args:
        hosts: those of the policy, in any order; patterns may occur again.
    """

    def __init__(self, hosts: Iterable[Host]) -> None:
        self._exact: dict[Labels, Grant] = {}
        self._wildcards: dict[Labels, Grant] = {}
        self._depths: tuple[int, ...] = ()
        hosts = tuple(hosts)
        # A grant adds to the wildcard above it, so that one must be complete before.
        wildcards = (host for host in hosts if host.pattern.wildcard)
        for host in sorted(wildcards, key=lambda host: len(host.pattern.name)):
            self._grant(host, self._wildcards)
            depth = len(host.pattern.name)
            if depth not in self._depths:
                self._depths = (depth, *self._depths)
        for host in hosts:
            if not host.pattern.wildcard:
                self._grant(host, self._exact)

    def match(self, qname: dns.name.Name) -> Grant | None:
        """Return the grant of the longest pattern that matches *qname*, or None."""
        labels = tuple(label.lower() for label in qname.labels)
        return self._exact.get(labels) or self._above(labels)

    def __iter__(self) -> Iterator[Grant]:
        yield from self._wildcards.values()
        yield from self._exact.values()

    def __len__(self) -> int:
        return len(self._wildcards) + len(self._exact)

    def _above(self, labels: Labels) -> Grant | None:
        """Return the grant of the longest wildcard over *labels*."""
        # Only as many look-ups as there are lengths of wildcards: one or two.
        for depth in self._depths:
            if depth < len(labels) and (grant := self._wildcards.get(labels[-depth:])):
                return grant
        return None

    def _grant(self, host: Host, table: dict[Labels, Grant]) -> None:
        labels = host.pattern.name.labels
        ports, private = set(host.ports), host.private
        for other in (table.get(labels), self._above(labels)):
            if other is not None:
                ports.update(other.ports)
                private = private or other.private
        table[labels] = Grant(host.pattern, tuple(sorted(ports)), private)
