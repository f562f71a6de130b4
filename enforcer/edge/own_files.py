"""Files that nobody but root may have put where they are, as the runtime directory has them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from enforcer.errors import EnforcerError


class RuntimeDirError(EnforcerError):
    """A directory of ours can't be used, or belongs to another live instance."""


def require_own(
    directory: Path, what: str = "runtime directory", option: str = "--runtime-dir"
) -> None:
    """Refuse a directory in which somebody else could put files and links of theirs.

    Args:
        directory: to be looked at.
        what: it is, for people.
        option: names another.

    Raises:
        RuntimeDirError: it is such a directory.
        OSError: there is none.
    """
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        reason = "it is a symbolic link"
    elif found.st_uid not in (0, os.geteuid()):
        reason = f"it belongs to user {found.st_uid}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = f"others may write to it (mode {stat.S_IMODE(found.st_mode):o})"
    else:
        return
    raise RuntimeDirError(
        f'{what} "{directory}" can\'t be trusted: {reason}',
        hint=f"remove it, or name another with {option}",
    )


def open_own(path: Path, flags: int) -> IO[str]:
    """Open a file of root's alone, never through a link, and without waiting for a pipe's end."""
    mode = "r" if flags == os.O_RDONLY else "w" if flags & os.O_WRONLY else "r+"
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        return os.fdopen(descriptor, mode, encoding="utf-8")
    except OSError:  # a pipe, where a file should be
        os.close(descriptor)
        raise


@contextlib.contextmanager
def translated(
    path: Path, what: str = "runtime directory", option: str = "--runtime-dir"
) -> Iterator[None]:
    """Raise RuntimeDirError for OSError; the arguments are those of `require_own`."""
    try:
        yield
    except OSError as exc:
        raise RuntimeDirError(
            f'{what} "{path.parent}" can\'t be used: {exc.strerror or exc}',
            hint=f"make room and run as root, or name another with {option}",
        ) from exc


def file_status(file: IO[str]) -> os.stat_result:
    """Return which file is open as *file*."""
    return os.fstat(file.fileno())


def is_at(file: os.stat_result, path: Path) -> bool:
    """Tell whether *file* is what is at *path* now, unchanged in length."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return os.path.samestat(file, found) and file.st_size == found.st_size
