"""Containers: a policy enforced in one restricts that one alone, or nothing at all.

Docker and podman leave a file in each, others a name in /run/systemd/container or in the
environment of its first process (https://systemd.io/CONTAINER_INTERFACE). Such a file may also
come with an image that a virtual machine was made of, so it counts only outside of the initial
PID or cgroup namespace, whose numbers are the same on every kernel (linux/proc_ns.h, since Linux
kernel commit 98f842e675f9 (in v3.8) and a79a908fd2b0 (in v4.6)). Those of WSL's distributions are
not initial either; they are no containers to their users.
"""

from __future__ import annotations

from pathlib import Path

from .confinement import Confinement
from .result import Outcome, Result

ID = "container"

_INITIAL = {"pid": "pid:[4026531836]", "cgroup": "cgroup:[4026531835]"}
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
# A sysctl of the initial network namespace alone (net/core/sysctl_net_core.c).
_ONLY_INITIAL = "proc/sys/net/core/netdev_budget"
_ON_THE_MACHINE = (
    "run it on the machine itself; or in a container with its network and privileges:"
    " --privileged --network=host --pid=host --cgroupns=host"
)


def kind(root: Path = Path("/")) -> str:
    """Return what sort of container this process is in; empty if in none, or in WSL.

    Args:
        root: of the files that tell.
    """
    # Also in a distribution that was made of an image; not in a container of one.
    if (root / "run/WSL").is_dir():
        return ""
    named = _text(root / "run/systemd/container").strip() or _of_first_process(root)
    if named == "wsl":
        return ""
    if not named:
        if (root / "run/.containerenv").exists():
            named = "podman"
        elif (root / ".dockerenv").exists():
            named = "docker"
    return named if named and _apart(root) else ""


def _of_first_process(root: Path) -> str:
    for entry in _text(root / "proc/1/environ").split("\0"):
        name, _, value = entry.partition("=")
        if name == "container":
            return value
    return ""


def _apart(root: Path) -> bool:
    for name, initial in _INITIAL.items():
        link = root / "proc/self/ns" / name
        if link.is_symlink() and str(link.readlink()) != initial:
            return True
    return False


def check(root: Path = Path("/"), confinement: Confinement | None = None) -> Result:
    """Say whether this is a container, and whether the machine can be restricted from it.

    Args:
        root: of the files that tell.
        confinement: of the process; None: of this one.
    """
    found = kind(root)
    if not found:
        return Result(ID, Outcome.SUPPORTED, "in none")
    where = f"in a {found} container"
    if not (root / _ONLY_INITIAL).exists():
        detail = f"{where} with a network of its own: it would restrict this container alone"
        return Result(ID, Outcome.UNSUPPORTED, detail, _ON_THE_MACHINE)
    confined = Confinement.of_this_process() if confinement is None else confinement
    if confined.user_namespace or not confined.has(_CAP_SYS_ADMIN, _CAP_NET_ADMIN):
        detail = f"{where} with the machine's network, but not its privileges"
        return Result(ID, Outcome.UNSUPPORTED, detail, _ON_THE_MACHINE)
    detail = f"{where} with the machine's network and privileges: it restricts the machine"
    return Result(ID, Outcome.SUPPORTED, detail)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
