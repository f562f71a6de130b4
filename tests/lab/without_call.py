"""Run a command on a kernel that refuses a system call: a script.

    python without_call.py mount ENODEV COMMAND...

As mount(2) answers to "cgroup2" where the kernel has none. seccomp answers in the kernel's
place. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# prctl(2) and seccomp(2): linux/prctl.h, linux/seccomp.h.
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_RET_ERRNO, _RET_ALLOW = 0x00050000, 0x7FFF0000
# Classic BPF: load a word of struct seccomp_data, jump if equal, return.
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_OFFSET = 0
# asm-generic/unistd.h has those of other machines.
_CALLS = {
    "mount": {"x86_64": 165, "aarch64": 40, "riscv64": 40},
    "inotify_init1": {"x86_64": 294, "aarch64": 26, "riscv64": 26},
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main() -> None:
    """Forbid the call of the first argument, with the error of the second; become the rest."""
    call, error, *command = sys.argv[1:]
    instructions = (
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_JUMP_EQUAL, 0, 1, _CALLS[call][platform.machine()]),
        (_RETURN, 0, 0, _RET_ERRNO | getattr(errno, error)),
        (_RETURN, 0, 0, _RET_ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *each) for each in instructions)
    program = _Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)),
    ):
        if libc.prctl(*arguments):
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
