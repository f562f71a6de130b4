"""Grants: what a name may be used for, as the kernel and user space both match it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import dns.name

from enforcer.core.hostname import Pattern, domain_of

MAX_PORTS: Final = 16  # as many as a grant in the kernel's map holds


@dataclass(frozen=True, slots=True)
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
        hosts: what the policy says of each by itself, in any order; patterns may
            occur again. Where nothing is to be added, it is kept as the grant.

    Attributes:
        exact: of exact names, by domain.
        wildcards: likewise.
    """

    def __init__(self, hosts: Iterable[Grant]) -> None:
        self._exact: dict[str, Grant] = {}
        self._wildcards: dict[str, Grant] = {}
        self.exact: Mapping[str, Grant] = self._exact
        self.wildcards: Mapping[str, Grant] = self._wildcards
        self._depths: tuple[int, ...] = ()  # labels that wildcards have, most first
        hosts = tuple(hosts)
        # A grant adds to the wildcard above it, so that one must be complete before.
        wildcards = [host for host in hosts if host.pattern.wildcard]
        for host in sorted(wildcards, key=_depth):
            self._grant(host, self._wildcards)
            depth = _depth(host)
            if depth not in self._depths:
                self._depths = (depth, *self._depths)
        for host in hosts:
            if not host.pattern.wildcard:
                self._grant(host, self._exact)

    def match(self, qname: dns.name.Name) -> Grant | None:
        """Return the grant of the longest pattern that matches *qname*, or None."""
        domain = domain_of(qname)
        return None if domain is None else self._match(domain)

    def match_text(self, host: str) -> Grant | None:
        """Return what `match` does for a name that it has matched, as text without final dot."""
        return self._match(host.lower())

    def of(self, pattern: Pattern) -> Grant | None:
        """Return the grant of *pattern* itself, or None."""
        table = self._wildcards if pattern.wildcard else self._exact
        return table.get(pattern.domain)

    def written(self, text: str) -> Grant | None:
        """Return the grant of the pattern that is written as *text*, in lower case, or None."""
        if text.startswith("*."):
            return self._wildcards.get(text[2:])
        return self._exact.get(text)

    def __iter__(self) -> Iterator[Grant]:
        yield from self._wildcards.values()
        yield from self._exact.values()

    def __len__(self) -> int:
        return len(self._wildcards) + len(self._exact)

    def _match(self, domain: str) -> Grant | None:
        return self._exact.get(domain) or self._above(domain)

    def _above(self, domain: str) -> Grant | None:
        """Return the grant of the longest wildcard over *domain*."""
        # Only as many look-ups as there are lengths of wildcards: one or two.
        labels = domain.split(".") if self._depths else ()
        for depth in self._depths:
            if depth < len(labels) and (grant := self._wildcards.get(".".join(labels[-depth:]))):
                return grant
        return None

    def _grant(self, host: Grant, table: dict[str, Grant]) -> None:
        pattern, grant = host.pattern, host
        for other in (table.get(pattern.domain), self._above(pattern.domain)):
            if other is not None:
                ports = tuple(sorted({*grant.ports, *other.ports}))
                private = grant.private or other.private
                if (ports, private) != (grant.ports, grant.private):
                    grant = Grant(pattern, ports, private)
        table[pattern.domain] = grant


def _depth(host: Grant) -> int:
    return host.pattern.domain.count(".") + 1
