"""The runtime directory: one live instance, its control socket and what it attached where."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

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
    """

    cgroup: str
    program_ids: tuple[int, ...]
    resolvers: tuple[str, ...]
    nonce: int


class RuntimeDir:
    """The paths below one runtime directory; `hold` makes it this process's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = path / SOCKET
        self.cgroup = path / CGROUP
        self._locks: list[TextIO] = []

    def hold(self) -> None:
        """Lock the directory and this network namespace until this process ends.

        Two instances in one namespace would take turns replacing one table.

        Raises:
            RuntimeDirError: it can't be written, or another instance holds either.
        """
        namespace = NAMESPACE_LOCKS / str(NETWORK_NAMESPACE.stat().st_ino)
        for path in (self.path / LOCK, namespace):
            self._locks.append(_lock(path, owner=f"pid {os.getpid()}, {self.path}"))

    def release(self) -> None:
        """Give the directory up; its socket goes, the lock files stay for the next."""
        if self._locks:
            self.socket.unlink(missing_ok=True)
        while self._locks:
            self._locks.pop().close()

    def record(self, attachments: Attachments) -> None:
        """Remember *attachments* beyond the end of this process, for root alone.

        Raises:
            RuntimeDirError: it can't be written.
        """
        new = self.path / f"{RECORD}.new"
        with _translated(new):
            new.unlink(missing_ok=True)
            new.touch(mode=0o600)
            new.write_text(json.dumps(asdict(attachments)) + "\n", encoding="utf-8")
            new.replace(self.path / RECORD)

    def recorded(self) -> Attachments | None:
        """Return what the last instance recorded, if it left anything.

        Raises:
            RuntimeDirError: it can't be read.
        """
        record = self.path / RECORD
        try:
            with _translated(record):
                if not record.exists():
                    return None
                data = json.loads(record.read_text("utf-8"))
            return Attachments(
                cgroup=str(data["cgroup"]),
                program_ids=tuple(map(int, data["program_ids"])),
                resolvers=tuple(map(str, data["resolvers"])),
                nonce=int(data["nonce"]),
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


def _lock(path: Path, owner: str) -> TextIO:
    with _translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise RuntimeDirError(
            f"another enforcer runs here: {holder}",
            hint="stop it first; there is one for each network namespace and runtime directory",
        ) from exc
    lock.truncate(0)
    lock.write(f"{owner}\n")
    lock.flush()
    return lock


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise RuntimeDirError(
            f'runtime directory "{path.parent}" can\'t be used: {exc.strerror}',
            hint="make room and run as root, or name another with --runtime-dir",
        ) from exc
