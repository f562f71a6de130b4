"""cgroup v2: the sock_ops program is attached to the root of its hierarchy.

The file system type came with Linux kernel commit 67e9c74b8a87 ("cgroup: replace
__DEVEL__sane_behavior with cgroup2 fs type") (in v4.5) and needs CONFIG_CGROUPS. Where the
hierarchy is mounted does not matter, nor whether it is: enforcer can mount one of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import scratch
from .result import Outcome, Result

ID = "cgroup2"
FIRST_RELEASE = (4, 5)

_OCTAL = re.compile(r"\\([0-7]{3})")


def mounts(mountinfo: str) -> tuple[str, ...]:
    """Return the mount points that show the root of cgroup v2, in the order of *mountinfo*.

    A mount of a subtree (a container's bind mount) is no root. Fields are those of proc(5),
    which writes space, tab, newline and backslash in a path as octal escapes.
    """
    found = []
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if source.split(" ")[0] == "cgroup2" and fields[3:4] == ["/"]:
            found.append(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
    return tuple(found)


def usable(found: tuple[str, ...], root: Path = Path("/")) -> str | None:
    """Return the first of these mount points that shows a cgroup; others may be mounted over."""
    for path in found:
        if (root / path.lstrip("/") / "cgroup.procs").is_file():
            return path
    return None


def check(
    mountinfo: Path = Path("/proc/self/mountinfo"),
    filesystems: Path = Path("/proc/filesystems"),
    root: Path = Path("/"),
) -> Result:
    """Say whether this kernel has cgroup v2, and where it is mounted, or could be.

    Args:
        mountinfo: what is mounted.
        filesystems: what the kernel can mount.
        root: of the paths in *mountinfo*.
    """
    known = any(line.split()[-1:] == ["cgroup2"] for line in filesystems.read_text().splitlines())
    if not known:
        detail = "the kernel has no file system cgroup2"
        return Result(ID, Outcome.UNSUPPORTED, detail, "use a kernel with CONFIG_CGROUPS=y")
    # A path is bytes: what is not UTF-8 must not break the report.
    found = mounts(mountinfo.read_text(errors="surrogateescape"))
    there = usable(found, root)
    if there is not None:
        return Result(ID, Outcome.SUPPORTED, f"mounted on {_printable(there)}")
    state = f"what is on {_printable(found[0])} is no cgroup" if found else "not mounted"
    tried = scratch.in_cgroup(ID, lambda _: Result(ID, Outcome.SUPPORTED, ""))
    if tried.outcome is Outcome.SUPPORTED:
        return Result(ID, Outcome.SUPPORTED, f"{state}; enforcer mounts one of its own")
    return Result(ID, tried.outcome, f"{state}, and another {tried.detail}", tried.remedy)


def _printable(path: str) -> str:
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
