"""A cgroup v2 directory that holds processes of the lab, and ends them."""

from __future__ import annotations

import contextlib
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

    def removed() -> bool:
        # cgroup.kill exists since Linux 5.14; killing one by one works on all. Again
        # and again: a process may fork meanwhile, or be on its way into the cgroup.
        for pid in processes(path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for directory, _, _ in os.walk(path, topdown=False):
            # The last process leaves cgroup.procs a moment before the cgroup
            # stops being busy.
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        return not path.exists()

    until(removed, _KILL_TIMEOUT_S, f"{path} to be removed")
