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
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enforcer.bpf import __file__ as sources
from enforcer.edge import bytecode  # noqa: TID251 - what it makes
from enforcer.edge.bpf import (  # noqa: TID251 - what becomes of that
    JUDGING,
    NOTING,
    Objects,
)
from enforcer.edge.kept import Kept  # noqa: TID251 - or was made before

FOLDER = Path(sources).parent
SOURCE = "enforcer.c"
INCLUDE = re.compile(r'#include "(?P<name>[^"]+)"')
# By the name of the type in bcc.
PROGRAMS = {
    "dns_query": "SCHED_CLS",
    "dns_answer": "SCHED_CLS",
    "forward_mark": "SCHED_CLS",
    "connect_mark": "SOCK_OPS",
    "seal": "CGROUP_SKB",
}
# Of type CGROUP_SOCK_ADDR: the hook (enum bpf_attach_type), which the verifier must know, and
# the part.
OPTIONAL = {
    "who_connect4": (10, NOTING),
    "who_connect6": (11, NOTING),
    "who_sendmsg4": (14, NOTING),
    "who_sendmsg6": (15, NOTING),
    "judge_connect4": (10, JUDGING),
    "judge_connect6": (11, JUDGING),
}
DOING = {NOTING: "tell processes apart", JUDGING: "judge connections as they begin"}
# What user space reads or writes; the others are the programs' own.
MAPS = (
    "config",
    "connectors",
    "denials",
    "events",
    "judging",
    "learned",
    "long_grants",
    "opened",
    "others",
    "places",
    "refused",
    "resolvers",
    "sealed",
    "short_grants",
    "stats",
)
# Debugging information takes the compiler a fifth of its time, and the kernel memory.
FLAGS = ("-Wno-unused-function", "-g0")
PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
CLONE_NEWNS = 0x20000  # include/uapi/linux/sched.h; os.unshare() came with Python 3.12
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18  # include/uapi/linux/mount.h
INSTALL = "apt install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"


class Failed(Exception):
    """It can't be done; the message and the hint are for the operator."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def main(folder: Path = FOLDER) -> None:
    """Send a JSON object over the socket whose descriptor is the last argument, and end.

    It has the names of "programs" and "maps", whose descriptors come with it in this order,
    and why optional parts were "refused", or an "error" and a "hint".

    Args:
        folder: of the sources.
    """
    libc = ctypes.CDLL(None)
    # Without a parent nobody wants the programs.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _lift_memory_limit()
    fds: list[int] = []
    try:
        objects = load(folder, libc)
        maps = {name: objects.maps[name] for name in MAPS}
        fds = [*objects.programs.values(), *maps.values()]
        refused = {part: f"can't {DOING[part]}: {why}" for part, why in objects.refused.items()}
        reply: dict[str, Any] = {
            "programs": [*objects.programs],
            "maps": [*maps],
            "refused": refused,
        }
    except Failed as exc:
        reply = {"error": str(exc), "hint": exc.hint}
    with socket.socket(fileno=int(sys.argv[-1])) as channel:
        socket.send_fds(channel, [json.dumps(reply).encode()], fds)
    # The compiler's memory goes with the process, faster than it would free it.
    os._exit(0)


def _lift_memory_limit() -> None:
    # Before Linux kernel commit 97306be45fbe ("Merge branch 'switch to memcg-based memory
    # accounting'") (in v5.11), maps and programs count as locked memory.
    with contextlib.suppress(ValueError):  # where it can't be lifted it may be high enough
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)


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


def load(folder: Path, libc: ctypes.CDLL) -> Objects:
    """Return all programs in *folder* and their maps, in the kernel.

    Args:
        folder: of the sources.
        libc: loaded.

    Raises:
        Failed: there is no compiler, or the kernel refuses.
    """
    text = source(folder)
    kept = Kept.of(text, FLAGS)
    if kept is not None and (known := kept.read()) is not None:
        # Compiled anew where the kernel does not take them: it says more, then.
        with contextlib.suppress(bytecode.NotLoaded):
            return bytecode.load(known)
    _hide_symbols(libc)
    compiled = compile_text(text, folder)
    try:
        objects = bytecode.load(compiled)
    except bytecode.NotLoaded as exc:
        raise Failed(str(exc)) from exc
    if kept is not None:
        kept.write(compiled)
    return objects


def compile_text(text: str, folder: Path) -> bytecode.Bytecode:
    """Return what bcc makes of *text*.

    Args:
        text: all programs, see `source`.
        folder: has the stand-ins for the kernel's headers.

    Raises:
        Failed: there is no bcc, or it can't compile.
    """
    bcc = _import_bcc()
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "shim")
    with _translated("compile the BPF programs"):
        compiled = bcc.BPF(text=text.encode(), cflags=[*FLAGS])
        kinds = {name: getattr(bcc.BPF, kind) for name, kind in PROGRAMS.items()}
        kinds |= dict.fromkeys(OPTIONAL, bcc.BPF.CGROUP_SOCK_ADDR)
        return bytecode.Bytecode.of(
            bytecode.Program(name, kind, *OPTIONAL.get(name, (0, "")), _code(bcc, compiled, name))
            for name, kind in kinds.items()
        )


def _code(bcc: Any, compiled: Any, name: str) -> bytes:
    at = bcc.lib.bpf_function_start(compiled.module, name.encode())
    return ctypes.string_at(at, bcc.lib.bpf_function_size(compiled.module, name.encode()))


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
