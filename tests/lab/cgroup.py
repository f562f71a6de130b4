"""A cgroup v2 directory that holds processes of the lab, and ends them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.lab.wait import until

_KILL_TIMEOUT_S = 10


class NoCgroup2(RuntimeError):
    """No cgroup v2 hierarchy is mounted on this machine."""


def mount_point() -> Path:
    """Return where cgroup v2 is mounted: /sys/fs/cgroup, .../unified or elsewhere."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, described = line.partition(" - ")
        if described.split(" ", 1)[0] == "cgroup2":
            return Path(fields.split(" ")[4])
    message = "no cgroup v2 hierarchy is mounted; the lab needs one"
    raise NoCgroup2(message)


def processes(path: Path) -> tuple[int, ...]:
    """Return the processes in *path* and below; none when it is gone."""
    found: list[int] = []
    for directory, _, _ in os.walk(path):
        try:
            found += [int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            continue
    return tuple(found)


def remove(path: Path) -> None:
    """Kill every process in *path* and below, then remove the directories.

    Removing a cgroup also detaches the BPF programs attached to it.
    """
    if not path.is_dir():
        return

    def emptied() -> bool:
        # cgroup.kill exists since Linux 5.14; killing one by one works on all,
        # and repeating it catches what a process forked meanwhile.
        for pid in processes(path):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not processes(path)

    until(emptied, _KILL_TIMEOUT_S, f"{path} to empty")
    for directory, _, _ in os.walk(path, topdown=False):

        def removed(directory: str = directory) -> bool:
            # The last process leaves cgroup.procs a moment before the cgroup
            # stops being busy.
            try:
                Path(directory).rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                return False
            return True

        until(removed, _KILL_TIMEOUT_S, f"{directory} to be removable")
