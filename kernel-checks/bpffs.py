"""bpffs: where programs and maps can be pinned; nothing of enforcer's is.

It came with Linux kernel commit b2197755b263 ("bpf: add support for persistent maps/progs") (in
v4.4). What enforcer attaches stays attached without it: clsact and the cgroup hold it.
"""

from __future__ import annotations

from pathlib import Path

from .result import Outcome, Result

ID = "bpffs"
FIRST_RELEASE = (4, 4)


def check(mountinfo: Path = Path("/proc/self/mountinfo")) -> Result:
    """Say where it is mounted, for those who look for something there."""
    for line in mountinfo.read_text(errors="backslashreplace").splitlines():
        mount, _, source = line.partition(" - ")
        if source.split(" ")[0] == "bpf":
            return Result(ID, Outcome.SUPPORTED, f"on {mount.split(' ')[4]}; nothing is pinned")
    return Result(ID, Outcome.SUPPORTED, "not mounted, and not needed: nothing is pinned")
