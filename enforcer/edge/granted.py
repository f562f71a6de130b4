"""What names may be used for, as the programs look it up: a trie of short names, one of long."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable

from enforcer import abi
from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import Pattern
from enforcer.core.names import trie_prefix
from enforcer.edge.maps import Map, Mirrored, batches  # noqa: TID251 - what holds it


class Granted:
    """The grants that the kernel knows.

    Args:
        short: names of up to SHORT_NAME_SIZE octets, as the key has them.
        long: all others.

    Raises:
        DatapathError: the kernel refuses.
    """

    def __init__(self, short: Map, long: Map) -> None:
        both = _ByLength(short, long)
        self._exact = Mirrored(both, functools.partial(_key, wildcard=False), _value)
        self._wildcards = Mirrored(both, functools.partial(_key, wildcard=True), _value)

    def replace(self, grants: Grants) -> None:
        """Permit the names of *grants* alone; new ones first, so that none has a gap."""
        self._exact.add(grants.exact)
        self._wildcards.add(grants.wildcards)
        self._exact.keep(grants.exact)
        self._wildcards.keep(grants.wildcards)


class _ByLength:
    """Both maps as one: a key has the size of those of its map."""

    def __init__(self, short: Map, long: Map) -> None:
        self._short = short
        self._long = long

    def update(self, elements: Iterable[tuple[bytes, bytes]], /) -> None:
        for some in batches(elements):
            self._short.update(each for each in some if _is_short(each[0]))
            self._long.update(each for each in some if not _is_short(each[0]))

    def delete(self, keys: Iterable[bytes], /) -> None:
        for some in batches(keys):
            self._short.delete(key for key in some if _is_short(key))
            self._long.delete(key for key in some if not _is_short(key))


def _is_short(key: bytes) -> bool:
    return len(key) == abi.SHORT_NAME_KEY.size


def _key(domain: str, *, wildcard: bool) -> bytes:
    prefix = trie_prefix(Pattern(domain, wildcard))
    key = abi.SHORT_NAME_KEY if len(prefix) <= abi.SHORT_NAME_SIZE else abi.NAME_KEY
    return key.pack(len(prefix) * 8, prefix)


def _value(grant: Grant) -> bytes:
    return _uses(grant.ports, private=grant.private)


@functools.lru_cache(maxsize=64)  # a few for very many names
def _uses(ports: tuple[int, ...], *, private: bool) -> bytes:
    flags = abi.GrantFlags.PRIVATE if private else abi.GrantFlags(0)
    return bytes(abi.Grant(ports=(ctypes.c_uint16 * abi.MAX_PORTS)(*ports), flags=flags))
