"""Clocks that are set under a running daemon; also the script that gives it those.

What we have in the kernel reads none of them, only CLOCK_MONOTONIC, which nobody sets and
which stands still while the machine sleeps. So those of the process are all there is to
set: what Python's `time` says in it. Standard library only.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path


class Clocks:
    """The clocks of a Python program that is started with their prefix.

    Args:
        directory: for the file that says how far they are ahead of the machine's.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "ahead_s"
        self._say(0, 0)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command line begins with."""
        return (sys.executable, __file__, str(self._file))

    def set_ahead(self, by_s: float) -> None:
        """Set the wall clock *by_s* seconds ahead of the machine's; back, if that is negative."""
        self._say(by_s, 0)

    def sleep(self, for_s: float) -> None:
        """Have the machine been suspended for *for_s* seconds."""
        self._say(for_s, for_s)

    def _say(self, wall_s: float, since_boot_s: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{wall_s} {since_boot_s}")
        new.replace(self._file)


def main() -> None:
    """Run the program in the arguments, which the file that says how far stands before."""
    file, program = Path(sys.argv[1]), sys.argv[2]
    wall, of = time.time, time.clock_gettime

    def ahead_s() -> tuple[float, float]:
        wall_s, since_boot_s = map(float, file.read_text().split())
        return wall_s, since_boot_s

    time.time = lambda: wall() + ahead_s()[0]
    time.clock_gettime = lambda clock: of(clock) + ahead_s()[1] * (clock == time.CLOCK_BOOTTIME)
    del sys.argv[:2]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
