"""Lock files: whoever holds one says who he is, and loses it with his process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from enforcer.edge.own_files import (  # noqa: TID251 - what it is made of
    RuntimeDirError,
    file_status,
    is_at,
    open_own,
    require_own,
    translated,
)

LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: a process, and its runtime directory."""

    pid: int
    directory: str

    def __str__(self) -> str:
        return f"pid {self.pid}, {self.directory}"

    @classmethod
    def read(cls, text: str) -> Holder:
        """Return the one that *text* is of; ValueError if it is of none."""
        pid, _, directory = text.strip().removeprefix("pid ").partition(", ")
        return cls(int(pid), directory)


def holder(path: Path) -> Holder | None:
    """Return who wrote the lock file at *path*, held or not; None where nobody says."""
    try:
        with open_own(path, os.O_RDONLY) as file:
            return Holder.read(file.read())
    except (OSError, ValueError, RuntimeDirError):
        return None


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock file at *path*, without trying it.

    A daemon that starts meanwhile would be refused.
    """
    try:
        found = path.stat()
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
        held = rf" FLOCK .* {device}:{found.st_ino} "
        return bool(re.search(held, LOCKS.read_text("ascii")))
    except OSError:
        return False


def lock(path: Path, owner: Holder) -> IO[str]:
    """Lock the file at *path*, which the one who held it last may be about to remove.

    Returns: the file, which is locked until it is closed.

    Raises:
        RuntimeDirError: it can't be written, or another process holds it.
    """
    with translated(path):
        while True:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_own(path.parent)
            file = open_own(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_at(file_status(file), path):
                    # For people: whoever is refused is told who it was.
                    file.truncate(0)
                    file.write(f"{owner}\n")
                    file.flush()
                    return file
            except BlockingIOError as exc:
                holder = file.read().strip() or "unknown"
                _abandon(file)
                raise RuntimeDirError(
                    f"another enforcer runs here: {holder}",
                    hint="stop it first; there is one for each network namespace"
                    " and runtime directory",
                ) from exc
            except OSError:
                _abandon(file)
                raise
            _abandon(file)


def reap(directory: Path) -> None:
    """Remove the lock files in *directory* that nobody holds, of killed processes, as it works."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            with contextlib.suppress(OSError), open_own(path, os.O_RDWR) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(file, path)


def remove(file: IO[str], path: Path) -> None:
    """Remove the lock file at *path*, as far as that works, while *file*, which is it, is locked.

    Who waits for it finds out that it is no longer there.
    """
    if is_at(file_status(file), path):
        with contextlib.suppress(OSError):
            path.unlink()


def _abandon(file: IO[str]) -> None:
    """Close *file*; what could not be written to a full disk is not tried again."""
    with contextlib.suppress(OSError):
        file.close()
