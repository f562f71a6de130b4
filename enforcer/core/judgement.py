"""What of our table decides about packets, in a form that tells whether somebody changed it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enforcer.core.chains import JUDGING_CHAINS

# Of its hash, so that a record of all parts stays short: nobody looks for collisions here,
# who could change the table could change the record.
_DIGEST_DIGITS = 16
TABLE_ITSELF = "the table itself"


@dataclass(frozen=True)
class Judgement:
    """All of our table that decides about packets, but the addresses that answers opened.

    Attributes:
        chains: names of the chains.
        digests: of what the kernel tells, by the part's name for people: each chain with
            its rules, each set of resolvers, the table itself.
    """

    chains: frozenset[str]
    digests: Mapping[str, str]

    @property
    def judges(self) -> bool:
        """Whether packets of the machine and of its containers come here."""
        return self.chains >= set(JUDGING_CHAINS)

    def changed(self, before: Mapping[str, str]) -> tuple[str, ...]:
        """Return the parts that are not as *before*, digests of another look, has them."""
        if before and not self.chains:
            return (TABLE_ITSELF,)
        names = before.keys() | self.digests.keys()
        return tuple(sorted(n for n in names if before.get(n) != self.digests.get(n)))


def in_words(changed: Iterable[str]) -> str:
    """Return what `Judgement.changed` found as a sentence."""
    return f"somebody else changed the nftables table ({', '.join(changed)})"


def judgement(
    table: Iterable[bytes],
    chains: Mapping[str, Iterable[bytes]],
    sets: Mapping[str, Iterable[bytes]],
) -> Judgement:
    """Return the judgement of what the kernel tells.

    Args:
        table: what of the table itself.
        chains: what of each chain and its rules, in order.
        sets: the elements of each set, in any order.
    """
    digests = {TABLE_ITSELF: _digest(table)}
    digests |= {f"chain {name}": _digest(parts) for name, parts in chains.items()}
    digests |= {f"set {name}": _digest(sorted(parts)) for name, parts in sets.items()}
    return Judgement(frozenset(chains), digests)


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(4, "big") + part)
    return found.hexdigest()[:_DIGEST_DIGITS]
