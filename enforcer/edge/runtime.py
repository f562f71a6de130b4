"""The runtime directory: one live instance, its control socket and what it attached where."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from enforcer.errors import EnforcerError

DEFAULT_RUNTIME_DIR = Path("/run/enforcer")
RUNTIME_DIR_VARIABLE = "ENFORCER_RUNTIME_DIR"
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
        program_id: of connect_mark on it.
        interfaces: with dns_query and dns_answer.
    """

    cgroup: str
    program_id: int
    interfaces: tuple[str, ...]


class RuntimeDir:
    """The paths below one runtime directory; `hold` makes it this process's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = path / SOCKET
        self.cgroup = path / CGROUP
        self._lock: TextIO | None = None

    def hold(self) -> None:
        """Create the directory and lock it until this process ends.

        Raises:
            RuntimeDirError: it can't be written, or another instance holds it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("a+", encoding="ascii")
        except OSError as exc:
            raise RuntimeDirError(
                f'runtime directory "{self.path}" can\'t be used: {exc.strerror}',
                hint="name another with --runtime-dir",
            ) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise RuntimeDirError(
                f'another enforcer (pid {owner}) runs with runtime directory "{self.path}"',
                hint="stop it, or name another directory with --runtime-dir",
            ) from exc
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give the directory up; its socket goes, the lock file stays for the next."""
        self.socket.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def record(self, attachments: Attachments) -> None:
        """Remember *attachments* beyond the end of this process."""
        new = self.path / f"{RECORD}.new"
        new.write_text(json.dumps(asdict(attachments)) + "\n", encoding="utf-8")
        new.replace(self.path / RECORD)

    def recorded(self) -> Attachments | None:
        """Return what the last instance recorded, if it left anything."""
        try:
            data = json.loads((self.path / RECORD).read_text("utf-8"))
            return Attachments(
                cgroup=str(data["cgroup"]),
                program_id=int(data["program_id"]),
                interfaces=tuple(map(str, data["interfaces"])),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise RuntimeDirError(
                f'"{self.path / RECORD}" can\'t be read: {exc}', hint="remove the file"
            ) from exc

    def forget(self) -> None:
        """Remove the record: nothing of ours is attached any more."""
        (self.path / RECORD).unlink(missing_ok=True)
