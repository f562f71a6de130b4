"""bpf(2): creates maps and loads programs of the types that enforcer is made of.

The system call needs CONFIG_BPF_SYSCALL. Hash maps came with Linux kernel commit 0f8e4bd8a1fc
(in v3.19), per-CPU arrays with a10423b87a7e (in v4.6), LRU hash maps with 29ba732acbee (in v4.10),
LPM tries with b95a5c4db09b (in v4.11), sched_cls programs with 96be4325f443 (in v4.1), sock_ops
programs with 40304b2a1567 ("bpf: BPF support for sock_ops") (in v4.13).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from dataclasses import dataclass
from pathlib import Path

from . import scratch
from .result import Outcome, Result

ID = "bpf"
FIRST_RELEASE = (4, 13)

# From the kernel's system call tables: libc has no wrapper.
_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
# linux/bpf.h: enum bpf_cmd, bpf_map_type, bpf_prog_type
_MAP_CREATE, _PROG_LOAD = 0, 5
# Type, octets of a key and of a value, flags: an LPM trie takes BPF_F_NO_PREALLOC, and no
# longer key (LPM_DATA_SIZE_MAX).
_MAPS = {
    "hash map": (1, 4, 4, 0),
    "per-CPU array": (6, 4, 8, 0),
    "LRU hash map": (9, 4, 4, 0),
    "LPM trie": (11, 260, 4, 1),
}
_PROGRAM_TYPES = {"sched_cls": 3, "sock_ops": 13}
_NAME = b"enforcer_check"
_RETURN_1 = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)

# linux/capability.h. CAP_BPF came with 5.8; before it CAP_SYS_ADMIN is needed.
_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_BPF = 12, 21, 39
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


def explain(step: str, error: OSError, confinement: Confinement) -> Result:
    """Say why bpf(2) failed at *step*."""
    if error.errno in (errno.EPERM, errno.EACCES):
        outcome, why, remedy = _refusal(confinement)
        return Result(ID, outcome, f"{step}: {error.strerror}: {why}", remedy)
    if error.errno in (errno.ENOSYS, errno.EINVAL):
        remedy = "use a kernel with CONFIG_BPF_SYSCALL=y, CONFIG_NET_CLS_BPF and CONFIG_CGROUP_BPF"
        detail = f"{step}: {error.strerror}: the kernel does not know it"
        return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
    return Result(ID, Outcome.INCONCLUSIVE, f"{step}: {error.strerror}")


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


def check() -> Result:
    """Say whether the maps can be created and the program types loaded."""
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        detail = f'number of bpf(2) not known for machine "{os.uname().machine}"'
        return Result(ID, Outcome.INCONCLUSIVE, detail)
    return scratch.in_child(ID, lambda: _probe(number))


def _probe(number: int) -> Result:
    _lift_memory_lock_limit()
    step = ""
    try:
        for kind, (map_type, key, value, flags) in _MAPS.items():
            step = f"a map of type {kind}"
            fields = (map_type, key, value, 1, flags, 0, 0, _NAME)
            _bpf(number, _MAP_CREATE, struct.pack("=7I16s", *fields))
        for name, program_type in _PROGRAM_TYPES.items():
            step = f"a program of type {name}"
            _load(number, program_type)
    except OSError as exc:
        return explain(step, exc, Confinement.of_this_process())
    names = " and ".join(_PROGRAM_TYPES)
    return Result(ID, Outcome.SUPPORTED, f"maps, {names} programs load")


def _lift_memory_lock_limit() -> None:
    # Before Linux kernel commit 97306be45fbe ("Merge branch 'switch to memcg-based memory
    # accounting'") (in v5.11), maps and programs count against it, and above it the answer is
    # EPERM. Who may not lift it may find the limit high enough.
    try:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except ValueError:
        return


def _load(number: int, program_type: int) -> None:
    instructions = ctypes.create_string_buffer(_RETURN_1, len(_RETURN_1))
    licence = ctypes.create_string_buffer(b"GPL")
    fields = (
        program_type,
        len(_RETURN_1) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        0,  # log level
        0,  # log size
        0,  # log buffer
        0,  # kernel version
        0,  # flags
        _NAME,
    )
    _bpf(number, _PROG_LOAD, struct.pack("=IIQQIIQII16s", *fields))


def _bpf(number: int, command: int, attributes: bytes) -> None:
    # The descriptor is left to the child's exit.
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    if libc.syscall(ctypes.c_long(number), command, buffer, len(attributes)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
