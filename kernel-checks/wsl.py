"""The platform: Linux itself, WSL 2 or WSL 1, and who is restricted there.

All WSL 2 distributions share one kernel and one network namespace
(https://learn.microsoft.com/windows/wsl/about), Docker Desktop's own included. WSL 1 translates
system calls: behind the name of a Linux release there is no Linux. What WSL is configured to do
is told by `wsl_notes`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from . import wsl_notes
from .result import Outcome, Result

ID = "platform"

# 4.4.0-19041-Microsoft: the one spelling WSL 1 ever had, with the capital M.
_WSL1 = re.compile(r"\b4\.4\.0-[0-9]+-Microsoft\b")
# 4.19.104-microsoft-standard, later 5.15.54-microsoft-standard-WSL2. A kernel of one's own
# often keeps "WSL2".
_WSL2 = re.compile(r"-microsoft-standard|\bWSL2\b")

_SCOPE = {
    0: "this machine, its users and the containers behind it",
    1: "nothing: WSL 1 has no Linux kernel",
    2: "all WSL 2 distributions, Docker Desktop's included: they share one kernel and one network",
}
_NOTES = {
    0: (),
    1: (),
    2: ("programs of Windows itself are not restricted: they do not use this kernel",),
}


@dataclass(frozen=True)
class Platform:
    """Where enforcer runs.

    Attributes:
        wsl: version of WSL, 0 outside of it.
        scope: who is restricted when a policy is enforced here.
        notes: what else an operator should know about this platform.
    """

    wsl: int
    scope: str
    notes: tuple[str, ...]


def detect(
    release: str,
    proc_version: Path = Path("/proc/version"),
    run_wsl: Path = Path("/run/WSL"),
) -> Platform:
    """Tell the platform from the release, the kernel's banner and WSL's runtime directory.

    Args:
        release: as ``uname -r`` prints it.
        proc_version: the banner; it holds the true release also under a personality(2).
        run_wsl: made by WSL in every distribution. It decides for a kernel of one's own that
            names Microsoft nowhere; only WSL 2 can boot one.
    """
    texts = [release]
    if proc_version.is_file():
        texts.append(proc_version.read_text(errors="replace"))
    if any(_WSL2.search(text) for text in texts):
        wsl = 2
    elif any(_WSL1.search(text) for text in texts):
        wsl = 1
    else:
        wsl = 2 if run_wsl.is_dir() else 0
    return Platform(wsl, _SCOPE[wsl], _NOTES[wsl])


def platform(root: Path = Path("/")) -> Platform:
    """Return the platform of this process.

    Args:
        root: of the files that tell.
    """
    release = os.uname().release
    found = detect(release, root / "proc/version", root / "run/WSL")
    if found.wsl == 2:  # noqa: PLR2004 - its version
        return replace(found, notes=(*wsl_notes.notes(release, root), *found.notes))
    return found


def judge(found: Platform, machine: str = "") -> Result:
    """Say whether enforcer can work on this platform.

    Args:
        found: the platform.
        machine: what it is, besides; empty if nobody knows.
    """
    if found.wsl == 1:
        detail = "WSL 1 translates system calls: there is no Linux kernel to enforce with"
        remedy = "run `wsl --set-version DISTRIBUTION 2` in Windows"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return Result(ID, Outcome.SUPPORTED, _words(found, machine))


def _words(found: Platform, machine: str) -> str:
    if found.wsl:
        return f"WSL {found.wsl}"
    return f"not WSL; {machine}" if machine else "not WSL"


def check(root: Path = Path("/")) -> Result:
    """Judge the platform of this process.

    Args:
        root: of the files that tell.
    """
    return judge(platform(root), _machine(root))


def _machine(root: Path) -> str:
    """Return what the firmware, or else the processor, says of a virtual machine."""
    try:
        flags = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    if not re.search(r"^flags\b.*\bhypervisor\b", flags, re.MULTILINE):
        return ""
    words = []
    for name in ("sys_vendor", "product_name"):
        try:
            words.append((root / "sys/class/dmi/id" / name).read_text(errors="replace").strip())
        except OSError:
            continue
    return f"a virtual machine ({', '.join(words)})" if words else "a virtual machine"
