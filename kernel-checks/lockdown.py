"""Kernel lockdown: what it keeps root from.

It came with Linux kernel commit 000d388ed3bb ("security: Add a static lockdown policy LSM") (in
v5.4). It forbids programs that read the kernel's memory, from confidentiality on
(LOCKDOWN_BPF_READ_KERNEL, LOCKDOWN_BPF_READ before 5.13); none of enforcer's does.
"""

from __future__ import annotations

from pathlib import Path

from .result import Outcome, Result

ID = "lockdown"
FIRST_RELEASE = (5, 4)


def check(security: Path = Path("/sys/kernel/security")) -> Result:
    """Say which mode is on; whether bpf(2) works in it is tried by the checks of programs."""
    mode = security / "lockdown"
    if not mode.is_file():
        return Result(ID, Outcome.SUPPORTED, "none")
    text = mode.read_text()
    return Result(ID, Outcome.SUPPORTED, text.partition("[")[2].partition("]")[0] or text.strip())
