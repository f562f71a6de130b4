"""The runtime directory: one live instance, its control socket and what it attached where."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from enforcer.errors import EnforcerError

DEFAULT_RUNTIME_DIR = Path("/run/enforcer")
RUNTIME_DIR_VARIABLE = "ENFORCER_RUNTIME_DIR"
# Beside the default directory, not in it: the lock outlives the choice of another.
NAMESPACE_LOCKS = Path("/run/enforcer.namespaces")
NETWORK_NAMESPACE = Path("/proc/self/ns/net")
SOCKET = "control.sock"
LOCK = "lock"
RECORD = "attachments.json"
CGROUP = "cgroup"


class RuntimeDirError(EnforcerError):
    """The runtime directory can't be used, or belongs to another live instance."""


@dataclass(frozen=True)
class Attachments:
    """What an instance attached, so that a later one can find it without its process.

    Attributes:
        cgroup: directory of the sock_ops hook.
        program_ids: of connect_mark on it; two while one takes over from another.
        resolvers: the trusted ones; the interfaces that face them have the DNS programs.
        nonce: the mark that the ruleset accepts.
        table: digests of the parts of the nftables table as it was applied; None where
            none was yet.
    """

    cgroup: str
    program_ids: tuple[int, ...]
    resolvers: tuple[str, ...]
    nonce: int
    table: Mapping[str, str] | None


class RuntimeDir:
    """The paths below one runtime directory; `hold` makes it this process's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = path / SOCKET
        self.cgroup = path / CGROUP
        self._locks: dict[Path, IO[str]] = {}
        self._recorded: Attachments | None = None
        self._written: os.stat_result | None = None

    def hold(self) -> None:
        """Lock the directory and this network namespace until this process ends.

        Two instances in one namespace would take turns replacing one table. Called
        again, it puts back lock files that somebody took away meanwhile.

        Raises:
            RuntimeDirError: it can't be written, or another instance holds either.
        """
        namespace = NAMESPACE_LOCKS / str(NETWORK_NAMESPACE.stat().st_ino)
        for path in (self.path / LOCK, namespace):
            held = self._locks.get(path)
            if held is None or not _is_at(_status(held), path):
                self._locks[path] = _lock(path, owner=f"pid {os.getpid()}, {self.path}")
                if held is not None:
                    held.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """What others look for: the lock files of this process, its socket and its record."""
        return (*self._locks, self.socket, self.path / RECORD)

    @property
    def held(self) -> bool:
        """Whether the lock files of this process are where others look for them."""
        return all(_is_at(_status(lock), path) for path, lock in self._locks.items())

    def release(self) -> None:
        """Give the directory up: its socket and the lock files go."""
        if self._locks:
            with contextlib.suppress(OSError):
                self.socket.unlink()
        while self._locks:
            path, lock = self._locks.popitem()
            # While it is locked: who waits for it finds out that it is no longer there.
            if _is_at(_status(lock), path):
                with contextlib.suppress(OSError):
                    path.unlink()
            lock.close()

    def record(self, attachments: Attachments) -> bool:
        """Remember *attachments* beyond the end of this process, for root alone.

        Returns: whether that was to be done: they had changed, or somebody the file.

        Raises:
            RuntimeDirError: it can't be written.
        """
        record, new = self.path / RECORD, self.path / f"{RECORD}.new"
        if self._recorded == attachments and self._written and _is_at(self._written, record):
            return False
        with _translated(new):
            _require_own(self.path)
            new.unlink(missing_ok=True)
            with _open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(json.dumps(asdict(attachments)) + "\n")
                file.flush()
                self._written, self._recorded = _status(file), attachments
            new.replace(record)
        return True

    def recorded(self) -> Attachments | None:
        """Return what the last instance recorded, if it left anything.

        Raises:
            RuntimeDirError: it can't be read.
        """
        record = self.path / RECORD
        try:
            with _translated(record):
                if not os.path.lexists(record):
                    return None
                _require_own(self.path)
                with _open(record, os.O_RDONLY) as file:
                    data = json.load(file)
            return Attachments(
                cgroup=str(data["cgroup"]),
                program_ids=tuple(map(int, data["program_ids"])),
                resolvers=tuple(map(str, data["resolvers"])),
                nonce=int(data["nonce"]),
                # Version 0.1.0 recorded none.
                table=None if data.get("table") is None else dict(data["table"]),
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise RuntimeDirError(
                f'"{record}" makes no sense: {exc!r}', hint="remove the file"
            ) from exc

    def forget(self) -> None:
        """Remove the record: nothing of ours is attached any more.

        Raises:
            RuntimeDirError: it can't be removed.
        """
        with _translated(self.path / RECORD):
            (self.path / RECORD).unlink(missing_ok=True)


def _lock(path: Path, owner: str) -> IO[str]:
    """Lock the file at *path*, which the one who held it last may be about to remove."""
    with _translated(path):
        while True:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_own(path.parent)
            lock = _open(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(_status(lock), path):
                    # For people: whoever is refused is told who it was.
                    lock.truncate(0)
                    lock.write(f"{owner}\n")
                    lock.flush()
                    return lock
            except BlockingIOError as exc:
                holder = lock.read().strip() or "unknown"
                _abandon(lock)
                raise RuntimeDirError(
                    f"another enforcer runs here: {holder}",
                    hint="stop it first; there is one for each network namespace"
                    " and runtime directory",
                ) from exc
            except OSError:
                _abandon(lock)
                raise
            _abandon(lock)


def _status(file: IO[str]) -> os.stat_result:
    return os.fstat(file.fileno())


def _is_at(file: os.stat_result, path: Path) -> bool:
    """Tell whether *file* is what is at *path* now, unchanged in length."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return os.path.samestat(file, found) and file.st_size == found.st_size


def _abandon(file: IO[str]) -> None:
    """Close *file*; what could not be written to a full disk is not tried again."""
    with contextlib.suppress(OSError):
        file.close()


def _require_own(directory: Path) -> None:
    """Refuse a directory in which somebody else could put files and links of theirs.

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
        f'runtime directory "{directory}" can\'t be trusted: {reason}',
        hint="remove it, or name another with --runtime-dir",
    )


def _open(path: Path, flags: int) -> IO[str]:
    """Open a file of root's alone, never through a link, and without waiting for a pipe's end."""
    mode = "r" if flags == os.O_RDONLY else "w" if flags & os.O_WRONLY else "r+"
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        return os.fdopen(descriptor, mode, encoding="utf-8")
    except OSError:  # a pipe, where a file should be
        os.close(descriptor)
        raise


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise RuntimeDirError(
            f'runtime directory "{path.parent}" can\'t be used: {exc.strerror or exc}',
            hint="make room and run as root, or name another with --runtime-dir",
        ) from exc
