"""Which interfaces are guarded: what leaves by them is judged.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

# Interfaces that lead to the machine itself or to its containers, whose own
# way out is judged at the uplink.
DEFAULT_EXEMPT = ("lo", "docker0", "br-*", "cni*", "podman*", "virbr*", "lxcbr*", "veth*")


def matching(pattern: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of *names* that *pattern* means: one name, or its beginning and a ``*``."""
    return tuple(sorted(name for name in names if fnmatchcase(name, pattern)))


def is_exempt(name: str, exempt: Iterable[str], uplinks: Collection[str]) -> bool:
    """Tell whether what leaves by the interface *name* is not judged.

    A default route leads out whatever its interface is called: ``br-lan`` too.
    """
    return name not in uplinks and any(matching(pattern, [name]) for pattern in exempt)
