"""The package and its units on a machine with systemd, boot by boot.

What happens there is in inside/service/scenario.py. The machine has the package and what that
depends on, nothing of this checkout's environment, and no network but what it makes itself.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deb.build import build
from tests.vm import disk, guest, root
from tests.vm.job import CHECKOUT
from tests.vm.kernels import Kernel

# Of Debian 12, for which the package is.
SERIES = "6.1"
INSIDE = Path(__file__).parent / "inside" / "service"
# What the package depends on, and systemd.
PACKAGES = (
    *("systemd-sysv", "dbus", "python3", "python3-bpfcc", "python3-yaml", "nftables"),
    *("kmod", "iproute2", "procps", "man-db"),
)
# Of one boot.
TIMEOUT_S = 60 * 60
_SAID = re.compile(r"scenario: (ok|NOT) (.*)")


def prepare(cache: Path, folder: Path) -> guest.Disks:
    """Return the disks of the machine; what is new of them is made in *folder*."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        job = Path(temporary)
        shutil.copy(build(CHECKOUT, job, "none"), job / "enforcer.deb")
        for file in (INSIDE / "begin.sh", *INSIDE.glob("*.service"), *INSIDE.glob("*.socket")):
            shutil.copy(file, job)
        (job / "begin.sh").rename(job / "begin")
        package = job / INSIDE.relative_to(CHECKOUT)
        package.mkdir(parents=True)
        for file in INSIDE.glob("*.py"):
            shutil.copy(file, package)
        made = folder / "service.ext4"
        disk.from_folder(job, made, spare_mib=64)
    return guest.Disks(root.make(cache, PACKAGES), made)


def run(
    kernel: Kernel, disks: guest.Disks, folder: Path, watch: Callable[[str], None]
) -> dict[str, Any]:
    """Boot the machine, as often as it wants to; return what became of it.

    Args:
        kernel: what it boots.
        disks: of `prepare`.
        folder: gets its console, and its journal in ``results``.
        watch: is told each line of the console.
    """
    ran = guest.run(kernel, disks, folder, TIMEOUT_S, watch, restarts=True)
    said = _SAID.findall((folder / "console").read_text(encoding="utf-8"))
    return {
        "service": kernel.name,
        "version": kernel.version,
        **asdict(ran),
        "held": [what for verdict, what in said if verdict == "ok"],
        "failed": [what for verdict, what in said if verdict != "ok"],
    }


def in_words(found: dict[str, Any]) -> str:
    """Return what became of the machine: a line, and one more for each thing that did not hold."""
    if found["release"] is None:
        return f"service on {found['version']}: did not boot"
    held, failed = len(found["held"]), found["failed"]
    end = "" if found["status"] is not None else ", did not come to its end"
    line = (
        f"service on {found['release']}: {held} of {held + len(failed)} hold{end}, "
        f"{found['took_s'] / 60:.1f} min, {found['cpu_s'] / 60:.1f} of a processor"
    )
    return "\n".join([line, *(f"\nFAILED as a service: {what}" for what in failed)])
