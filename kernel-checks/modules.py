"""Modules of the kernel: loaded before anything is looked for that they bring.

The kernel loads most of them by itself when they are asked for, where it may start modprobe
(kernel.modprobe). WSL 2's kernels have many options as modules from 6.6.36.3 on. Loading them is
all that the checks leave behind.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .result import Outcome, Result

ID = "modules"

NEEDED = (
    "cls_bpf",
    "inet_diag",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_tables",
    "nfnetlink_log",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_reject_inet",
    "sch_ingress",
    "tcp_diag",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT_S = 10.0


def check(proc: Path = Path("/proc"), path: str = _PATH) -> Result:
    """Load what is not there; whether that was enough is for the other checks to say.

    Args:
        proc: where the kernel lists what is loaded.
        path: where modprobe is looked for.
    """
    listing = proc / "modules"
    if not listing.is_file():
        return Result(ID, Outcome.SUPPORTED, "none: all that this kernel has is built in")
    before = _loaded(listing)
    wanted = [name for name in NEEDED if name not in before]
    if not wanted:
        return Result(ID, Outcome.SUPPORTED, "loaded already")
    modprobe = shutil.which("modprobe", path=path)
    if modprobe is None:
        detail = f"no modprobe in {path}: the kernel may not find what it needs"
        return Result(ID, Outcome.INCONCLUSIVE, detail, "install kmod: apt install kmod")
    try:
        subprocess.run(
            [modprobe, "--quiet", "--all", *wanted],
            capture_output=True,
            check=False,  # what is built in, or not there at all, is no module
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Result(ID, Outcome.INCONCLUSIVE, f"modprobe did not end within {_TIMEOUT_S:g} s")
    came = [name for name in wanted if name in _loaded(listing)]
    if came:
        return Result(ID, Outcome.SUPPORTED, f"loaded now: {', '.join(came)}")
    return Result(ID, Outcome.SUPPORTED, "none to load: built in, or not there")


def _loaded(listing: Path) -> frozenset[str]:
    return frozenset(line.split(" ")[0] for line in listing.read_text().splitlines())
