"""The file with the ruleset that the next boot begins with, before there is a daemon."""

from __future__ import annotations

import os
from pathlib import Path

from enforcer.edge.own_files import (  # noqa: TID251 - what it is made of
    file_status,
    is_at,
    open_own,
    require_own,
    translated,
)

# Named in systemd/enforcer-early.service, which carries it out.
BOOT_RULESET = "boot.nft"
_WHAT, _OPTION = "state directory", "--state-dir"


class BootRuleset:
    """Keeps a ruleset for the next boot, for root alone.

    Args:
        directory: for the file; None: nothing is kept.

    Attributes:
        text: that `put` writes; None: nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.path = directory and directory / BOOT_RULESET
        self.text: str | None = None
        self._written: tuple[str, os.stat_result] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What must not be taken away while there is something to keep."""
        return (self.path,) if self.path and self.text is not None else ()

    def use(self, text: str | None) -> None:
        """Have `put` write *text* from now on, or nothing."""
        self.text = text

    def put(self) -> bool:
        """Write the ruleset if the file does not hold it.

        Returns: whether somebody had taken away or changed the file.

        Raises:
            RuntimeDirError: it can't be written.
        """
        if self.path is None or self.text is None:
            return False
        taken = False
        if self._written is not None:
            text, found = self._written
            taken = not is_at(found, self.path)
            if text == self.text and not taken:
                return False
        new = self.path.with_suffix(".new")
        with translated(new, _WHAT, _OPTION):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_own(self.path.parent, _WHAT, _OPTION)
            new.unlink(missing_ok=True)
            with open_own(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(self.text)
                file.flush()
                # A power cut must leave the old file or the new one.
                os.fsync(file.fileno())
                self._written = self.text, file_status(file)
            new.replace(self.path)
        return taken

    def forget(self) -> bool:
        """Have the next boot begin with nothing of ours; return whether there was something.

        Raises:
            RuntimeDirError: the file can't be removed.
        """
        there = False
        if self.path is not None:
            with translated(self.path, _WHAT, _OPTION):
                there = os.path.lexists(self.path)
                self.path.unlink(missing_ok=True)
        self.text = self._written = None
        return there
