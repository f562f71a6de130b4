"""The files of a machine that decide how its pulls go, besides the policy."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

FILES = (
    "etc/hosts",
    "etc/docker/daemon.json",
    "etc/systemd/resolved.conf",
    "etc/environment",
    "etc/default/docker",
    "etc/sysconfig/docker",
)
FOLDERS = (
    "etc/systemd/resolved.conf.d",
    "run/systemd/resolved.conf.d",
    "usr/lib/systemd/resolved.conf.d",
    "etc/systemd/system/docker.service.d",
    "etc/systemd/system/containerd.service.d",
)
# More is not configuration but a wrong path.
MAX_BYTES = 1 << 20


def surroundings(root: Path) -> dict[str, str]:
    """Return what those of the files say that are there and can be read, by path.

    Args:
        root: the directory that holds `etc`, such as ``/``; paths are as if it were that.
    """
    paths = [root / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted((root / folder).glob("*.conf"))
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            if (text := _text(path)) is not None:
                found[f"/{path.relative_to(root)}"] = text
    return found


def _text(path: Path) -> str | None:
    # Not blocking: opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(MAX_BYTES).decode(errors="replace")
