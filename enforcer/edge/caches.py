"""Caches of host names that answer without DNS: have them forget what they held before.

What they answer nobody can see, so an address they got while nothing was learned, or
under another policy, stays closed until they ask again.
"""

from __future__ import annotations

import subprocess  # noqa: TID251 - the caches are told by their own tools
from dataclasses import dataclass
from pathlib import Path

# Of one cache. They take some ten milliseconds; this ends only what hangs.
_TIMEOUT_S = 2


@dataclass(frozen=True)
class _Cache:
    """One that may run on the machine.

    Attributes:
        socket: of its clients, below the root of the file system; there while it runs.
        command: has it forget the names of hosts.
    """

    name: str
    socket: str
    command: tuple[str, ...]


_CACHES = (
    _Cache("nscd", "run/nscd/socket", ("nscd", "--invalidate=hosts")),
    # By this socket it answers nss-resolve(8).
    _Cache(
        "systemd-resolved",
        "run/systemd/resolve/io.systemd.Resolve",
        ("resolvectl", "flush-caches"),
    ),
)


def flush(root: Path) -> tuple[str, ...]:
    """Have the caches that run forget host names; return what went wrong with which.

    Args:
        root: the directory that holds `run`, such as ``/``.
    """
    running = (cache for cache in _CACHES if (root / cache.socket).is_socket())
    told = ((cache.name, _failure(cache.command)) for cache in running)
    return tuple(f"the cache of {name} is not flushed: {why}" for name, why in told if why)


def _failure(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            errors="replace",
            text=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    if not done.returncode:
        return ""
    return done.stderr.strip() or f"{command[0]} ended with exit status {done.returncode}"
