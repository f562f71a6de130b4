"""Notice that files changed, were replaced or appeared: inotify(7), through libc."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from enforcer.core.places import MAX_LINKS
from enforcer.errors import EnforcerError

# linux/inotify.h
_ATTRIB, _CLOSE_WRITE = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW = 0x400, 0x800, 0x4000
_ONLY_DIRECTORY = 0x01000000
# Who may read or write a file may change without its content.
_FILE = _ATTRIB | _CLOSE_WRITE
_DIRECTORY = (
    _FILE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
) | _ONLY_DIRECTORY

_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name
_RECEIVE = 1 << 16


class WatchError(EnforcerError):
    """Files can't be watched; they are still read from time to time."""


class FileEvents:
    """Readable when one of the watched files may have changed since the last `drain`.

    A file is followed through symbolic links, and may not exist yet. Written by
    somebody who keeps it open, it changes when that ends.

    Root of any container may use up what the kernel has of these for all of root's
    processes, so there may be nothing to wait for until a later `watch`.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        # Names by watch; None: the watched file itself.
        self._names: dict[int, set[str | None]] = {}

    @property
    def watching(self) -> bool:
        """Whether there is a descriptor to wait for."""
        return self._fd >= 0

    def fileno(self) -> int:
        """Return the descriptor to wait for, while `watching`."""
        return self._fd

    def close(self) -> None:
        """Stop watching."""
        if self.watching:
            os.close(self._fd)
        self._fd, self._names = -1, {}

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch *paths*, as they are to be found now, and no others.

        Raises:
            WatchError: the kernel refuses.
        """
        if not self.watching:
            self._fd = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            if not self.watching:
                raise _refused("watch files")
        try:
            self._watch(tuple(paths))
        except OSError as exc:
            hint = "see whether the file system that they are on is there"
            raise WatchError(f"can't watch files: {exc}", hint) from exc

    def _watch(self, wanted: Collection[Path]) -> None:
        while True:
            before = _places(wanted)
            names: dict[int, set[str | None]] = {}
            for place, name in before:
                # Bind mounts, as containers have for resolv.conf, change without their directory.
                watch = self._add(place, _FILE if name is None else _DIRECTORY)
                if watch is not None:
                    names.setdefault(watch, set()).add(name)
            for stale in self._names.keys() - names.keys():
                # Fails for one that ended by itself, with its directory.
                self._libc.inotify_rm_watch(self._fd, stale)
            self._names = names
            # What was made while we looked is watched as well.
            if _places(wanted) == before:
                return

    def drain(self) -> bool:
        """Forget what has been reported; return whether it concerned a watched file."""
        changed = False
        with contextlib.suppress(BlockingIOError):
            while self.watching:
                for watch, mask, name in _events(os.read(self._fd, _RECEIVE)):
                    about = self._names.get(watch, set())
                    itself = mask & (_DELETE_SELF | _MOVE_SELF | _OVERFLOW) or None in about
                    changed = changed or bool(itself) or name in about
        return changed

    def _add(self, place: Path, mask: int) -> int | None:
        watch = int(self._libc.inotify_add_watch(self._fd, os.fsencode(place), mask))
        if watch >= 0:
            return watch
        if not place.exists():
            return None  # gone meanwhile
        raise _refused(f'watch "{place}"')


def _places(paths: Iterable[Path]) -> frozenset[tuple[Path, str | None]]:
    """Return directories with the names in them that *paths* depend on, and files themselves."""
    found: set[tuple[Path, str | None]] = set()
    for path in paths:
        found.update(_entries(path))
        if path.is_file():
            found.add((path, None))
    return frozenset(found)


def _entries(path: Path) -> Iterator[tuple[Path, str]]:
    for _ in range(MAX_LINKS):
        while not path.parent.is_dir():
            path = path.parent  # what must appear first
        yield path.parent, path.name
        try:
            target = path.readlink()
        except OSError:
            return  # no link, or nothing
        path = path.parent / target


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    offset = 0
    while offset < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield watch, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


def _refused(doing: str) -> WatchError:
    number = ctypes.get_errno()
    hint = "raise fs.inotify.max_user_instances and max_user_watches"
    return WatchError(f"can't {doing}: {os.strerror(number)}", hint)
