"""The package as an earlier commit has it."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chaos.world import CHECKOUT

# Of a checkout, and where the installed package has it: pyproject.toml, package-dir.
_PARTS = {"enforcer": "enforcer", "bpf": "enforcer/bpf", "kernel-checks": "enforcer/kernel_checks"}


class NoSuchCommit(Exception):
    """Git does not have what was asked for; the message is Git's."""


@contextlib.contextmanager
def package(revision: str) -> Iterator[Path]:
    """Yield a folder, for PYTHONPATH, with the package of *revision* until the block ends.

    Raises:
        NoSuchCommit: there is none, or this is no checkout.
    """
    with tempfile.TemporaryDirectory(prefix="enforcer-") as made:
        checkout, folder = Path(made, "checkout"), Path(made, "package")
        checkout.mkdir()
        # The checkout may be another user's than root's.
        git = ("git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT))
        archive = subprocess.run(
            (*git, "archive", revision, *_PARTS), capture_output=True, check=False
        )
        if archive.returncode:
            raise NoSuchCommit(archive.stderr.decode(errors="replace").strip())
        subprocess.run(("tar", "-x", "-C", str(checkout)), input=archive.stdout, check=True)
        folder.mkdir()
        for part, where in _PARTS.items():
            (checkout / part).rename(folder / where)
        yield folder
