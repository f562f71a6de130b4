"""The runtime directory: one live instance, its control socket and what it attached where."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from enforcer.edge import locks  # noqa: TID251 - it is held by them
from enforcer.edge.locks import Holder  # noqa: TID251 - as above
from enforcer.edge.own_files import (  # noqa: TID251 - what it is made of
    RuntimeDirError,
    file_status,
    is_at,
    open_own,
    require_own,
    translated,
)

DEFAULT_RUNTIME_DIR = Path("/run/enforcer")
RUNTIME_DIR_VARIABLE = "ENFORCER_RUNTIME_DIR"
# Beside the default directory, not in it: the lock outlives the choice of another.
NAMESPACE_LOCKS = Path("/run/enforcer.namespaces")
NETWORK_NAMESPACE = Path("/proc/self/ns/net")
SOCKET = "control.sock"
LOCK = "lock"
RECORD = "attachments.json"
LAST_WORDS = "opened.json"
CGROUP = "cgroup"


@dataclass(frozen=True)
class Attachments:
    """What an instance attached, so that a later one can find it without its process.

    Attributes:
        cgroup: directory of the hooks.
        program_ids: of the programs on it; twice as many while one instance takes over from
            another.
        resolvers: the trusted ones; the interfaces that face them have the DNS programs.
        nonces: the marks that the ruleset accepts.
        table: digests of the parts of the nftables table as it was applied; None until
            live connections have been judged by it.
        networks: that the ruleset always permits.
        last_defaults: indexes of the interfaces of default routes, the last ones that there
            were, by version of IP.
    """

    cgroup: str
    program_ids: tuple[int, ...]
    resolvers: tuple[str, ...]
    nonces: tuple[int, ...]
    table: Mapping[str, str] | None
    networks: tuple[str, ...] = ()
    last_defaults: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


class RuntimeDir:
    """The paths below one runtime directory; `hold` makes it this process's own.

    Args:
        path: of the directory.
        namespaces: directory for the lock file of each network namespace.
    """

    def __init__(self, path: Path, namespaces: Path = NAMESPACE_LOCKS) -> None:
        self.path = path
        self._namespaces = namespaces
        self.socket = path / SOCKET
        self.cgroup = path / CGROUP
        self._locks: dict[Path, IO[str]] = {}
        self._recorded: Attachments | None = None
        self._written: os.stat_result | None = None

    def hold(self) -> None:
        """Lock the directory and this network namespace until this process ends.

        Two instances in one namespace would take turns replacing one table. What killed
        ones left locked is free, and their files go. Called again, it puts back lock files
        that somebody took away meanwhile.

        Raises:
            RuntimeDirError: it can't be written, or another instance holds either.
        """
        for path in (self.path / LOCK, self._namespace()):
            held = self._locks.get(path)
            if held is None or not is_at(file_status(held), path):
                self._locks[path] = locks.lock(path, Holder(os.getpid(), str(self.path)))
                if held is not None:
                    held.close()
        locks.reap(self._namespaces)

    @property
    def files(self) -> tuple[Path, ...]:
        """What others look for: the lock files of this process, its socket and its record."""
        return (*self._locks, self.socket, self.path / RECORD)

    @property
    def held(self) -> bool:
        """Whether the lock files of this process are where others look for them."""
        return all(is_at(file_status(lock), path) for path, lock in self._locks.items())

    def release(self) -> None:
        """Give the directory up: its socket and the lock files go."""
        if self._locks:
            with contextlib.suppress(OSError):
                self.socket.unlink()
        while self._locks:
            path, lock = self._locks.popitem()
            locks.remove(lock, path)
            lock.close()

    def holder(self) -> Holder | None:
        """Return who holds the directory; None where nobody says."""
        return locks.holder(self.path / LOCK)

    def elsewhere(self) -> Holder | None:
        """Return who enforces in this network namespace with another directory, if any does."""
        path = self._namespace()
        found = locks.holder(path)
        other = found is not None and found.directory != str(self.path)
        return found if other and locks.is_held(path) else None

    def _namespace(self) -> Path:
        """Return the lock file of this process's network namespace."""
        return self._namespaces / str(NETWORK_NAMESPACE.stat().st_ino)

    def record(self, attachments: Attachments) -> bool:
        """Remember *attachments* beyond the end of this process, for root alone.

        Returns: whether that was to be done: they had changed, or somebody the file.

        Raises:
            RuntimeDirError: it can't be written.
        """
        record, new = self.path / RECORD, self.path / f"{RECORD}.new"
        if self._recorded == attachments and self._written and is_at(self._written, record):
            return False
        with translated(new):
            require_own(self.path)
            new.unlink(missing_ok=True)
            with open_own(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(json.dumps(asdict(attachments)) + "\n")
                file.flush()
                self._written, self._recorded = file_status(file), attachments
            new.replace(record)
        return True

    def recorded(self) -> Attachments | None:
        """Return what the last instance recorded, if it left anything.

        Raises:
            RuntimeDirError: it can't be read.
        """
        record = self.path / RECORD
        try:
            with translated(record):
                if not os.path.lexists(record):
                    return None
                require_own(self.path)
                with open_own(record, os.O_RDONLY) as file:
                    data = json.load(file)
            return Attachments(
                cgroup=str(data["cgroup"]),
                program_ids=tuple(map(int, data["program_ids"])),
                resolvers=tuple(str(ipaddress.ip_address(each)) for each in data["resolvers"]),
                # Version 0.1.0 recorded one, and none of the others.
                nonces=tuple(map(int, data["nonces"] if "nonces" in data else [data["nonce"]])),
                table=None if data.get("table") is None else dict(data["table"]),
                networks=tuple(
                    str(ipaddress.ip_network(each)) for each in data.get("networks", ())
                ),
                last_defaults={
                    int(version): tuple(map(int, indexes))
                    for version, indexes in dict(data.get("last_defaults", {})).items()
                },
            )
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise RuntimeDirError(
                f'"{record}" makes no sense: {exc!r}', hint="remove the file"
            ) from exc

    def forget(self) -> None:
        """Remove what is for a later instance: nothing of ours is attached any more.

        Raises:
            RuntimeDirError: it can't be removed.
        """
        with translated(self.path / RECORD):
            for name in (RECORD, LAST_WORDS):
                (self.path / name).unlink(missing_ok=True)
