"""The names that addresses were answered for, permitted or not: for people, not for packets.

Pure: no I/O, no clock; every `now` is in monotonic seconds and never goes back.
"""

from __future__ import annotations

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer

# Clients keep using addresses when their TTL has run out, connection pools for long.
KEPT_S = 3600.0
# As many as a machine asks for in a day, mostly; half a kilobyte each.
MAX_ADDRESSES = 8192
# Of one address, such as that of a proxy or of a content network.
MAX_NAMES = 4


class SeenNames:
    """For each address, the names it was last answered for; the oldest addresses give way."""

    def __init__(self) -> None:
        # Names and the ends of their time, the last answered last.
        self._seen: dict[Address, dict[str, float]] = {}

    def saw(self, answer: Answer, now: float) -> None:
        """Remember *answer* for KEPT_S longer than its TTL."""
        name = answer.qname.to_text(omit_final_dot=True)
        for address in answer.addresses:
            names = self._seen.pop(address, {})
            names.pop(name, None)
            names[name] = now + answer.ttl_s + KEPT_S
            if len(names) > MAX_NAMES:
                del names[next(iter(names))]
            self._seen[address] = names
        while len(self._seen) > MAX_ADDRESSES:
            del self._seen[next(iter(self._seen))]

    def names(self, address: Address, now: float) -> tuple[str, ...]:
        """Return the names that *address* was answered for, the last one first."""
        names = self._seen.get(address, {})
        return tuple(name for name, until in reversed(names.items()) if now < until)
