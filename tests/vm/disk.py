"""Disks of guests: an ext4 file system with the files of a folder, and plain space."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_MIB = 1024 * 1024
# What this machine's mke2fs thinks fit may be newer than the kernel: orphan_file came with 5.15.
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,64bit,"
    "sparse_super,large_file,huge_file,dir_nlink,extra_isize"
)


def from_folder(folder: Path, disk: Path, *, spare_mib: int) -> None:
    """Make *disk* an ext4 file system with the files of *folder*.

    Args:
        folder: what is to be on it.
        disk: file to make; there only when it is whole.
        spare_mib: room for more. The file is sparse: it costs nothing.
    """
    used = subprocess.run(
        ("du", "--summarize", "--apparent-size", "--block-size=1", folder),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # ext4's own books: an inode of 256 octets for each of many small files, journal, tables.
    size_mib = int(used.split()[0]) * 5 // 4 // _MIB + 64 + spare_mib
    made = disk.with_suffix(".tmp")
    made.unlink(missing_ok=True)
    # All inodes now, at once: a kernel that finds them lazily made works on it at each boot.
    mke2fs = ("mke2fs", "-q", "-t", "ext4", "-O", _FEATURES, "-E", "lazy_itable_init=0")
    subprocess.run(
        (*mke2fs, "-d", folder, made, f"{size_mib}M"), check=True, stdout=subprocess.DEVNULL
    )
    made.replace(disk)


def empty(disk: Path, size_mib: int) -> None:
    """Make *disk* so much nothing."""
    disk.unlink(missing_ok=True)
    disk.touch()
    os.truncate(disk, size_mib * _MIB)


@contextlib.contextmanager
def half_made(folder: Path) -> Iterator[Path]:
    """Yield a folder that becomes *folder* when the block has put into it all that belongs there.

    Of two that do so at once, the second's is dropped.
    """
    made = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    made.mkdir(parents=True)
    try:
        yield made
        if not folder.exists():
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
