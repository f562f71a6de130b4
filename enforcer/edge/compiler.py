"""Compile and load the BPF programs, hand their descriptors over, and end: a process of its own.

The only importer of bcc. Its compiler weighs 120 MB that nobody needs once the programs are
loaded. `loader` starts this module and reads the one message that it sends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enforcer.bpf import __file__ as sources
from enforcer.edge.bpf import bpf  # noqa: TID251 - what bcc can't load

FOLDER = Path(sources).parent
SOURCE = "enforcer.c"
INCLUDE = re.compile(r'#include "(?P<name>[^"]+)"')
# By the name of the type in bcc.
PROGRAMS = {
    "dns_query": "SCHED_CLS",
    "dns_answer": "SCHED_CLS",
    "forward_mark": "SCHED_CLS",
    "connect_mark": "SOCK_OPS",
}
# Of type CGROUP_SOCK_ADDR, by their hook (enum bpf_attach_type), which the verifier must know.
# Enforcement is the same without them.
OPTIONAL = {"who_connect4": 10, "who_connect6": 11, "who_sendmsg4": 14, "who_sendmsg6": 15}
# What user space reads or writes; the others are the programs' own.
MAPS = (
    "config",
    "connectors",
    "events",
    "learned",
    "long_grants",
    "others",
    "refused",
    "resolvers",
    "short_grants",
    "stats",
)
# Debugging information takes the compiler a fifth of its time, and the kernel memory.
FLAGS = ("-Wno-unused-function", "-g0")
PROG_LOAD, INSTRUCTION_SIZE, LOG_SIZE = 5, 8, 1 << 16  # include/uapi/linux/bpf.h
PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
CLONE_NEWNS = 0x20000  # include/uapi/linux/sched.h; os.unshare() came with Python 3.12
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18  # include/uapi/linux/mount.h
INSTALL = "apt install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"


class _Load(ctypes.Structure):
    # union bpf_attr of BPF_PROG_LOAD up to the hook.
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_void_p),
        ("license", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    )


class Failed(Exception):
    """It can't be done; the message and the hint are for the operator."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def main(folder: Path = FOLDER) -> None:
    """Send a JSON object over the socket whose descriptor is the last argument, and end.

    It has the names of "programs" and "maps", whose descriptors come with it in this order,
    and why others were "refused", or an "error" and a "hint".

    Args:
        folder: of the sources.
    """
    libc = ctypes.CDLL(None)
    # Without a parent nobody wants the programs.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _hide_symbols(libc)
    fds: list[int] = []
    try:
        programs, maps, refused = load(folder)
        fds = [*programs.values(), *maps.values()]
        reply: dict[str, Any] = {
            "programs": [*programs],
            "maps": [*maps],
            "refused": refused,
        }
    except Failed as exc:
        reply = {"error": str(exc), "hint": exc.hint}
    with socket.socket(fileno=int(sys.argv[-1])) as channel:
        socket.send_fds(channel, [json.dumps(reply).encode()], fds)
    # The compiler's memory goes with the process, faster than it would free it.
    os._exit(0)


def _hide_symbols(libc: ctypes.CDLL) -> None:
    """Let this process alone see an empty /proc/kallsyms.

    bcc 0.26 reads all of it, 100,000 lines, to find out whether the kernel has a helper
    (bpf_probe_read_kernel) that no program of ours calls: a fifth of the compiler's time, too.
    Where it can't be hidden that is what it costs.
    """
    if (
        libc.unshare(CLONE_NEWNS) == 0
        and libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
    ):
        libc.mount(b"/dev/null", b"/proc/kallsyms", None, MS_BIND, None)


def load(folder: Path) -> tuple[dict[str, int], dict[str, int], str]:
    """Return the descriptors of all programs, and of their maps, by name.

    And why the optional ones are not among them, all or none; empty if they are.

    Raises:
        Failed: there is no compiler, or the kernel refuses.
    """
    bcc = _import_bcc()
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "shim")
    with _translated("compile the BPF programs"):
        compiled = bcc.BPF(text=source(folder).encode(), cflags=[*FLAGS])
    programs = {}
    for name, kind in PROGRAMS.items():
        with _translated(f'load the BPF program "{name}"'):
            programs[name] = int(compiled.load_func(name.encode(), getattr(bcc.BPF, kind)).fd)
    refused = ""
    try:
        with _translated("tell processes apart"):
            programs |= {
                name: _load_for(bcc, compiled, name, hook) for name, hook in OPTIONAL.items()
            }
    except Failed as exc:
        refused = str(exc)
    maps = {name: int(bcc.lib.bpf_table_fd(compiled.module, name.encode())) for name in MAPS}
    return programs, maps, refused


def _load_for(bcc: Any, compiled: Any, name: str, hook: int) -> int:
    """Load a program for *hook*; before bcc 0.25 (pull request 3969) it has no argument for that.

    Raises:
        Failed: the kernel refuses; with the last that its verifier said.
    """
    size = bcc.lib.bpf_function_size(compiled.module, name.encode())
    said, licence = ctypes.create_string_buffer(LOG_SIZE), ctypes.c_char_p(b"GPL")
    attr = _Load(
        prog_type=bcc.BPF.CGROUP_SOCK_ADDR,
        insn_cnt=size // INSTRUCTION_SIZE,
        insns=bcc.lib.bpf_function_start(compiled.module, name.encode()),
        license=licence,
        log_level=1,
        log_size=LOG_SIZE,
        log_buf=ctypes.addressof(said),
        prog_name=name.encode(),
        expected_attach_type=hook,
    )
    try:
        return bpf(PROG_LOAD, attr)
    except OSError as exc:
        lines = [line for line in said.value.decode(errors="replace").splitlines() if line]
        words = [line for line in lines if not line.startswith("processed ")]
        raise Failed(words[-1] if words else str(exc.strerror)) from exc


def _import_bcc() -> Any:
    try:
        import bcc  # noqa: PLC0415, TID251 - its edge; what it lacks is said in the reply
    except (ImportError, OSError) as exc:  # OSError: a library of its is missing
        raise Failed(f"can't import bcc in {sys.executable}: {exc}", INSTALL) from exc
    if not hasattr(bcc, "BPF"):
        raise Failed(
            f"{bcc.__file__} is not the BPF Compiler Collection but another project's bcc",
            f"pip uninstall bcc, then: {INSTALL}",
        )
    return bcc


def source(folder: Path) -> str:
    """Return all programs in *folder* as one text.

    bcc 0.26 rewrites map accesses (``map.lookup()``) in the main file alone, so
    the headers of our own are put in place here rather than by the preprocessor.
    """
    seen: set[str] = set()

    def expand(name: str) -> Iterator[str]:
        if name in seen:
            return
        seen.add(name)
        yield f'#line 1 "{name}"'
        for number, line in enumerate((folder / name).read_text("utf-8").splitlines(), 1):
            included = INCLUDE.fullmatch(line)
            if included is None:
                yield line
            else:
                yield from expand(included["name"])
                yield f'#line {number + 1} "{name}"'

    return "\n".join(expand(SOURCE)) + "\n"


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn what bcc raises (bare Exception, mostly) into Failed."""
    try:
        yield
    except Exception as exc:
        raise Failed(f"can't {doing}: {exc}") from exc


if __name__ == "__main__":
    main()
