"""Children that probe in our stead, so that nothing of a probe stays behind.

A child's descriptors, limits and network namespace go when it exits: a probe needs no clean-up
and can't forget one.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from .result import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

AS_ROOT = "run the check as root: sudo enforcer check"

# linux/sched.h; os.unshare() came with Python 3.12
_CLONE_NEWNS, _CLONE_NEWNET = 0x20000, 0x40000000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18  # linux/mount.h
# Something is there on every machine; what is mounted on it is seen by the child alone.
_MOUNT_POINT = b"/tmp"


def inconclusive(check_id: str, error: OSError) -> Result:
    """Return the result of a probe that *error* kept from finding out."""
    denied = error.errno in (errno.EPERM, errno.EACCES)
    detail = f"could not be tested: {error.strerror or error}"
    return Result(check_id, Outcome.INCONCLUSIVE, detail, AS_ROOT if denied else None)


def in_child(check_id: str, probe: Callable[[], Result]) -> Result:
    """Run *probe* in a child and return its result; an OSError in it is inconclusive."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answered = False
        try:
            try:
                result = probe()
            except OSError as exc:
                result = inconclusive(check_id, exc)
            os.write(writer, _encode(result))
            answered = True
        finally:
            # Whatever happened: the child must never return into the parent's code.
            if not answered:
                traceback.print_exc()
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if not answer:
        return Result(check_id, Outcome.INCONCLUSIVE, "could not be tested: the probe died")
    return _decode(answer)


def in_network(check_id: str, probe: Callable[[], Result]) -> Result:
    """Run *probe* in a child with a new network namespace (CONFIG_NET_NS) of its own."""

    def entered() -> Result:
        _done(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET), "network namespace")
        return probe()

    return in_child(check_id, entered)


def in_cgroup(check_id: str, probe: Callable[[int], Result]) -> Result:
    """Run *probe* in a child, with the descriptor of the directory of an empty cgroup v2.

    The hierarchy is mounted for the child alone, wherever else it is mounted or not. The cgroup
    is removed, and what was attached to it goes with it.
    """

    def entered() -> Result:
        libc = ctypes.CDLL(None, use_errno=True)
        _done(libc.unshare(_CLONE_NEWNS), "mount namespace")
        _done(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount namespace")
        _done(libc.mount(b"none", _MOUNT_POINT, b"cgroup2", 0, None), "mount of cgroup v2")
        path = Path(os.fsdecode(_MOUNT_POINT)) / f"enforcer_check.{os.getpid()}"
        path.mkdir()
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            return probe(directory)
        finally:
            path.rmdir()

    return in_child(check_id, entered)


def _done(answer: int, what: str) -> None:
    if answer != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} when making a scratch {what}")


def _encode(result: Result) -> bytes:
    return json.dumps([result.id, result.outcome.value, result.detail, result.remedy]).encode()


def _decode(answer: bytes) -> Result:
    check_id, outcome, detail, remedy = json.loads(answer)
    return Result(check_id, Outcome(outcome), detail, remedy)
