"""A limit to the memory that a process may have, as a unit's MemoryMax= sets it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = 4096


def _version_1() -> Path | None:
    """Return where the memory controller of cgroup v1 is mounted, if it is."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, described = line.partition(" - ")
        kind, _, options = described.split(" ", 2)
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(fields.split(" ")[4])
    return None


@contextlib.contextmanager
def no_more(pid: int, name: str, octets: int) -> Iterator[Path]:
    """Let the process *pid* have no more than *octets* besides what it has.

    Args:
        pid: of the process; it is moved to another cgroup.
        name: of a cgroup that is not there.
        octets: above that it is killed.

    Yields: the file that counts how often something was killed, as `oom_kill`.
    """
    # Of either version: what a process had stays with the cgroup where it got it.
    mounted = _version_1()
    parent = mounted or cgroup.mount_point()
    limit, events = ("memory.max", "memory.events")
    if mounted is not None:
        limit, events = ("memory.limit_in_bytes", "memory.oom_control")
    elif "memory" not in (parent / "cgroup.subtree_control").read_text().split():
        (parent / "cgroup.subtree_control").write_text("+memory")
    group = parent / name
    group.mkdir()
    try:
        (group / limit).write_text(str(octets // _PAGE * _PAGE))
        (group / "cgroup.procs").write_text(str(pid))
        yield group / events
    finally:
        cgroup.remove(group)
