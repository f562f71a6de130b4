"""The file that keeps compiled programs from one start to the next.

Only where the service manager gives a folder for such files (CacheDirectory= of systemd.exec(5)),
and only one that nobody but root can have put it into.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from enforcer.edge import cpus  # noqa: TID251 - what it depends on
from enforcer.edge.bytecode import Bytecode, Spoilt  # noqa: TID251 - what it keeps

FOLDER = "CACHE_DIRECTORY"
PREFIX = "programs-"


class Kept:
    """What was compiled of the same text, with the same compiler, for the same machine.

    Args:
        folder: for the file.
        ingredients: whatever the compiled programs depend on.
    """

    def __init__(self, folder: Path, ingredients: Iterable[str]) -> None:
        digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()
        self._path = folder / f"{PREFIX}{digest}"

    @classmethod
    def of(cls, text: str, flags: Iterable[str]) -> Kept | None:
        """Return where to keep what becomes of *text*; None where there is no folder for it."""
        folder, compiler = os.environ.get(FOLDER), importlib.util.find_spec("bcc")
        if not folder or compiler is None or compiler.origin is None:
            return None
        version = Path(compiler.origin).with_name("version.py")
        if not version.is_file():
            return None
        machine = os.uname()
        # bcc makes a perf ring for each CPU that there can be.
        number = str(len(cpus.possible()))
        versions = (version.read_text("utf-8"), machine.release, machine.machine, number)
        return cls(Path(folder), (text, *flags, *versions))

    def read(self) -> Bytecode | None:
        """Return what is kept; None if that is nothing, or nothing to be trusted."""
        with contextlib.suppress(OSError, Spoilt):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                if _is_own(os.fstat(descriptor)) and _is_own(self._path.parent.stat()):
                    return Bytecode.read(file.read())
        return None

    def write(self, bytecode: Bytecode) -> None:
        """Keep *bytecode* and nothing else, if that is possible: a start does not depend on it."""
        folder = self._path.parent
        with contextlib.suppress(OSError):
            if not _is_own(folder.stat()):
                return
            descriptor, name = tempfile.mkstemp(dir=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(bytecode.octets())
                Path(name).rename(self._path)
            except OSError:
                Path(name).unlink()
                raise
            for other in folder.glob(f"{PREFIX}*"):
                if other != self._path:
                    other.unlink()


def _is_own(found: os.stat_result) -> bool:
    ours = found.st_uid in (0, os.geteuid())
    return ours and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
