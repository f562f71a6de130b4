"""What a lab leaves behind when its process dies, and how that is removed.

A lab owns one directory, locked while its process lives, and one cgroup of the
same name. Everything else (namespaces, interfaces, mounts, rulesets, programs)
belongs to the processes in that cgroup and ends with them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

LABS = Path("/run/enforcer-lab")


def _lock(path: Path, *, wait: bool) -> int | None:
    """Return the descriptor that locks the directory *path*, None when another has it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def remove(name: str) -> None:
    """Remove all that is left of the lab *name*."""
    cgroup.remove(cgroup.mount_point() / name)
    shutil.rmtree(LABS / name, ignore_errors=True)


def reap() -> tuple[str, ...]:
    """Remove the labs whose process is dead; return their names."""
    dead = []
    for directory in sorted(LABS.glob("enf*")):
        lock = _lock(directory, wait=False)
        if lock is not None:
            os.close(lock)
            remove(directory.name)
            dead.append(directory.name)
    return tuple(dead)


@contextlib.contextmanager
def lab_directory() -> Iterator[Path]:
    """Yield the directory of a new lab; its name is the lab's, its cgroup exists too.

    Both are removed at the end, also when this process is killed: a guard
    process waits for the end of a pipe that only this process holds open.
    """
    LABS.mkdir(exist_ok=True)
    creation = _lock(LABS, wait=True)
    assert creation is not None
    try:
        reap()
        directory = Path(tempfile.mkdtemp(prefix=f"enf{os.getpid()}-", dir=LABS))
        directory.chmod(0o755)  # tests run commands as users other than root
        lock = _lock(directory, wait=False)
        assert lock is not None
    finally:
        os.close(creation)
    (cgroup.mount_point() / directory.name).mkdir()
    guard = subprocess.Popen(
        (sys.executable, "-m", "tests.lab.leftovers", directory.name),
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        start_new_session=True,  # Ctrl-C reaches the process group of the test only
    )
    assert guard.stdin is not None
    try:
        yield directory
    finally:
        remove(directory.name)
        os.close(lock)
        guard.stdin.close()
        guard.wait()


def main() -> None:
    """Wait for the end of standard input, then remove the lab named by the argument."""
    sys.stdin.read()
    remove(sys.argv[1])


if __name__ == "__main__":
    main()
