"""Holders: which host holds which addresses, gathered from what is open.

Pure: no I/O, no clock; every `now` is in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.opened import Pair
from enforcer.core.promises import Origin, Promises


@dataclass(frozen=True)
class Binding:
    """One address of one host, open at *ports*, the last of them until *expires*."""

    host: str
    address: Address
    ports: tuple[int, ...]
    expires: float
    origins: tuple[Origin, ...]


class Holders:
    """What was gathered, some of it after the other."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, Address], list[tuple[int, float, frozenset[Origin]]]] = {}

    def gather(self, pair: Pair, promises: Promises, now: float) -> None:
        """Take down who holds *pair* at *now*."""
        address, port = pair
        for host, promise in promises.hosts.items():
            if promise.expires > now:
                held = self._found.setdefault((host, address.version, address), [])
                held.append((port, promise.expires, promise.origins))

    def bindings(self) -> tuple[Binding, ...]:
        """Return what was gathered, sorted by host and address."""
        return tuple(self._binding(*item) for item in sorted(self._found))

    def _binding(self, host: str, version: int, address: Address) -> Binding:
        held = self._found[host, version, address]
        origins = frozenset[Origin]().union(*(each for _, _, each in held))
        return Binding(
            host,
            address,
            tuple(sorted(port for port, _, _ in held)),
            max(expires for _, expires, _ in held),
            tuple(origin for origin in Origin if origin in origins),
        )
