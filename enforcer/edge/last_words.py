"""What a process that ends in order leaves word of: which hosts an address was ever open for.

The kernel knows this of what is open now. A connection may be older than that.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable
from pathlib import Path

from enforcer.core.opened import Pair
from enforcer.edge.own_files import (  # noqa: TID251 - whose file it is
    RuntimeDirError,
    open_own,
    require_own,
    translated,
)
from enforcer.edge.runtime import LAST_WORDS  # noqa: TID251 - where it is


def leave(directory: Path, opened: Iterable[tuple[Pair, tuple[str, ...]]]) -> None:
    """Write down what was *opened*, the latest last.

    Raises:
        RuntimeDirError: it can't be written.
    """
    path = directory / LAST_WORDS
    with translated(path):
        require_own(directory)
        path.unlink(missing_ok=True)
        with open_own(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            json.dump([(str(address), port, hosts) for (address, port), hosts in opened], file)


def read(directory: Path) -> tuple[tuple[Pair, tuple[str, ...]], ...]:
    """Return what was left, if anything was.

    Raises:
        RuntimeDirError: it can't be read.
    """
    path = directory / LAST_WORDS
    with translated(path):
        if not os.path.lexists(path):
            return ()
        require_own(directory)
        try:
            with open_own(path, os.O_RDONLY) as file:
                return tuple(
                    ((ipaddress.ip_address(address), int(port)), tuple(map(str, hosts)))
                    for address, port, hosts in json.load(file)
                )
        # Half of it, where the disk was full.
        except (ValueError, TypeError, RecursionError) as exc:
            raise RuntimeDirError(f'"{path}" makes no sense: {exc}') from exc


def discard(directory: Path) -> None:
    """Remove what was left: it will not be true for ever.

    Raises:
        RuntimeDirError: it can't be removed.
    """
    path = directory / LAST_WORDS
    with translated(path):
        path.unlink(missing_ok=True)
