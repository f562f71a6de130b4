"""The disk with what a guest has to do: this checkout at its own path, and what runs there."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.vm import disk

CHECKOUT = Path(__file__).parents[2]
# Of a checkout, what the guest does not need, or must not have: the cache holds this disk.
_LEFT_OUT = {".git", ".vm", ".unpacked", ".mypy_cache", ".ruff_cache", ".hypothesis", ".vagrant"}
_SPARE_MIB = 512
_BEGIN = Path(__file__).parent / "inside" / "begin.sh"


def make(folder: Path, command: tuple[str, ...]) -> Path:
    """Return a disk, in *folder*, with the checkout as it is now and *command* to run in it."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary)
        (root / "checkout").mkdir()
        for entry in sorted(CHECKOUT.iterdir()):
            if entry.name not in _LEFT_OUT:
                # Links cost no copying, and times are kept, by which Python knows its caches.
                subprocess.run(("cp", "--archive", "--link", entry, root / "checkout"), check=True)
        shutil.copy(_BEGIN, root / "begin")
        (root / "checkout-at").write_text(f"{CHECKOUT}\n", encoding="utf-8")
        (root / "command").write_text(f"{shlex.join(command)}\n", encoding="utf-8")
        made = folder / "job.ext4"
        disk.from_folder(root, made, spare_mib=_SPARE_MIB)
    return made
