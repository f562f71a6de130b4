"""What may keep a process from bpf(2), and what its refusal means then."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from . import scratch
from .result import Outcome, Result

# linux/capability.h. CAP_BPF came with 5.8; before it CAP_SYS_ADMIN is needed.
_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_BPF = 12, 21, 39
# linux/errno.h: the kernel's own, which no user space knows.
_ENOTSUPP = 524
# user_namespaces(7): the mapping of the initial user namespace.
_WHOLE_UID_MAP = "0 0 4294967295"


@dataclass(frozen=True)
class Confinement:
    """What may keep a process from bpf(2).

    Attributes:
        capabilities: the effective set, a bit each.
        user_namespace: whether they count in a user namespace only.
        seccomp: whether a filter judges the system calls of this process.
        lockdown: the contents of the lockdown file, empty if there is none.
    """

    capabilities: int
    user_namespace: bool
    seccomp: bool
    lockdown: str

    @classmethod
    def of_this_process(cls) -> Confinement:
        """Read it from /proc and securityfs."""
        status = dict(
            line.split(":\t", 1)
            for line in Path("/proc/self/status").read_text().splitlines()
            if ":\t" in line
        )
        lockdown = Path("/sys/kernel/security/lockdown")
        return cls(
            capabilities=int(status["CapEff"], 16),
            user_namespace=Path("/proc/self/uid_map").read_text().split() != _WHOLE_UID_MAP.split(),
            seccomp=status.get("Seccomp", "0").strip() == "2",
            lockdown=lockdown.read_text().strip() if lockdown.is_file() else "",
        )

    def has(self, *capabilities: int) -> bool:
        """Say whether all of these are in the effective set."""
        return all(self.capabilities >> capability & 1 for capability in capabilities)


def explain(
    check_id: str, step: str, error: OSError, confinement: Confinement, options: str
) -> Result:
    """Say why bpf(2) failed at *step*.

    Args:
        check_id: the check's name.
        step: what was tried.
        error: what came of it; a verifier's last words, too, where it has any.
        confinement: of the process that tried.
        options: that a kernel needs for it.
    """
    why = error.strerror or str(error)
    if error.errno in {errno.EPERM, errno.EACCES}:
        outcome, reason, remedy = _refusal(confinement)
        return Result(check_id, outcome, f"{step}: {why}: {reason}", remedy)
    if error.errno in {errno.ENOSYS, errno.EINVAL, errno.E2BIG, _ENOTSUPP}:
        detail = f"{step}: {why}: the kernel does not know it"
        return Result(check_id, Outcome.UNSUPPORTED, detail, f"use a kernel with {options}")
    return Result(check_id, Outcome.INCONCLUSIVE, f"{step}: {why}")


def _refusal(confinement: Confinement) -> tuple[Outcome, str, str]:
    """Return what EPERM means, why it came and what to do.

    Missing privilege says nothing about the kernel; what holds root back too is conclusive.
    """
    if confinement.user_namespace:
        why = "root of a user namespace only (a rootless container?)"
        return Outcome.INCONCLUSIVE, why, "run the check as root of the machine"
    if not (confinement.has(_CAP_SYS_ADMIN) or confinement.has(_CAP_BPF, _CAP_NET_ADMIN)):
        why = "it takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN"
        return Outcome.INCONCLUSIVE, why, scratch.AS_ROOT
    if confinement.seccomp:
        why = "a seccomp filter forbids bpf(2) (a container?)"
        remedy = "run on the machine itself, or allow bpf(2) in the container's seccomp profile"
        return Outcome.UNSUPPORTED, why, remedy
    if confinement.lockdown and "[none]" not in confinement.lockdown:
        why = f"kernel lockdown is on: {confinement.lockdown}"
        remedy = "boot without lockdown: Secure Boot off, no lockdown= on the kernel's command line"
        return Outcome.UNSUPPORTED, why, remedy
    why = "refused to root; a security module may forbid it"
    return Outcome.UNSUPPORTED, why, "look into the kernel's log: dmesg"
