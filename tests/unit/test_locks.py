"""Lock files: who is told to hold one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.edge import locks
from enforcer.edge.locks import Holder


def test_only_a_lock_on_the_file_itself_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user can lock a file of the same inode number on a file system of his own."""
    path = tmp_path / "lock"
    with locks.lock(path, Holder(1, "/run/enforcer")):
        assert locks.is_held(path)
        listed = locks.LOCKS.read_text("ascii")
    assert not locks.is_held(path)
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino} "
    assert device in listed
    other = tmp_path / "locks"
    other.write_text(listed.replace(device, f"ff:ff:{found.st_ino} "))
    monkeypatch.setattr(locks, "LOCKS", other)
    assert not locks.is_held(path)
