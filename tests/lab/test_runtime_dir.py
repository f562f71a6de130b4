"""What happens to the runtime directory, under a live daemon and before its start."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

import pytest

from enforcer.edge.kept import FOLDER
from enforcer.edge.runtime import LOCK, NAMESPACE_LOCKS, RECORD, SOCKET
from tests.lab.daemon import Enforcer, NotStarted, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.test_repair import REPAIRED_WITHIN_S, is_closed
from tests.lab.wait import until

pytestmark = pytest.mark.root


def namespace_lock(lab: Lab) -> Path:
    """Return the lock file of the network namespace of the lab's host."""
    inode = Path(f"/proc/{lab.net.host.pid}/ns/net").stat().st_ino
    return NAMESPACE_LOCKS / str(inode)


def test_a_directory_that_is_removed_comes_back(lab: Lab, policy: str) -> None:
    """Socket, lock and record: the daemon can be asked, reloaded and stopped again.

    Every command said "not running", with a hint to start it, which the lock forbade; a
    second daemon with another directory would have found nothing in its way.
    """
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        whole = {path.name for path in enforcer.runtime_dir.iterdir()}
        # In one step: the daemon puts files back while a tree is being removed.
        gone = enforcer.runtime_dir.rename(enforcer.runtime_dir.with_name("gone"))
        shutil.rmtree(gone)
        namespace_lock(lab).unlink()

        def is_back() -> bool:
            return enforcer.status()["daemon"]["running"] and namespace_lock(lab).exists()

        until(is_back, REPAIRED_WITHIN_S, "the directory")
        assert {path.name for path in enforcer.runtime_dir.iterdir()} == whole
        assert enforcer.runtime_dir.stat().st_mode & 0o777 == 0o700
        status = enforcer.status()
        assert status["healthy"]
        assert "removed" in status["repaired"][0]["text"]
        assert enforcer.cli("reload").returncode == 0
        for name in ("enforcer", "second"):
            second = Enforcer(lab.net, policy, name)
            refused = second.cli("run", "--policy", str(second.policy_file), check=False)
            assert refused.returncode == 1
            assert f"another enforcer runs here: pid {enforcer.process.pid}" in refused.stderr
        enforcer.cli("off")
        assert enforcer.process.wait(20) == 0
    assert footprint(lab.net) == before


@pytest.mark.parametrize("name", [LOCK, SOCKET, RECORD])
def test_a_file_that_is_removed_comes_back(lab: Lab, policy: str, name: str) -> None:
    """One of them, or all: each is needed by somebody."""
    with running(lab.net, policy) as enforcer:
        (enforcer.runtime_dir / name).unlink()
        until((enforcer.runtime_dir / name).exists, REPAIRED_WITHIN_S, name)
        until(lambda: enforcer.status()["repaired"] != [], REPAIRED_WITHIN_S, "status to tell")
        assert enforcer.status()["healthy"]


def exchange(one: Path, other: Path) -> None:
    """Have each take the other's place, in one step (renameat2(2))."""
    at_cwd, rename_exchange = -100, 2  # linux/fcntl.h, linux/fs.h
    libc = ctypes.CDLL(None, use_errno=True)
    assert not libc.renameat2(at_cwd, bytes(one), at_cwd, bytes(other), rename_exchange)


def test_a_directory_that_can_not_be_put_back_is_told(lab: Lab, policy: str) -> None:
    """A link in its place is not followed; enforcement goes on, and it heals."""
    with running(lab.net, policy) as enforcer:
        elsewhere = enforcer.directory / "elsewhere"
        elsewhere.mkdir()
        # At once: the daemon would have made another directory before the link.
        aside = enforcer.directory / "aside"
        aside.symlink_to(elsewhere)
        exchange(aside, enforcer.runtime_dir)
        told = "can't be trusted: it is a symbolic link"
        until(lambda: told in enforcer.log, REPAIRED_WITHIN_S, "the log to tell")
        assert not list(elsewhere.iterdir())
        assert is_closed(lab)
        enforcer.runtime_dir.unlink()
        until(lambda: bool(enforcer.status()["healthy"]), REPAIRED_WITHIN_S, "the directory")


def test_an_orderly_stop_leaves_no_lock_file(lab: Lab, policy: str) -> None:
    """They piled up, one for each network namespace that ever was."""
    with running(lab.net, policy) as enforcer:
        assert namespace_lock(lab).exists()
        enforcer.stop()
        assert not namespace_lock(lab).exists()
        assert not list(enforcer.runtime_dir.iterdir())


def fill(directory: Path, lab: Lab) -> None:
    """Leave no room in *directory*, in the mount namespace of the lab's host."""
    lab.net.host.run("sh", "-c", f"cat /dev/zero >{directory}/filler", check=False)


@pytest.mark.parametrize("room", ["size=4k", "size=16k,nr_inodes=1", "size=16k,nr_inodes=3"])
def test_a_full_disk_at_the_start_is_one_clear_error(lab: Lab, policy: str, room: str) -> None:
    """Whatever file it is that finds no room, nothing is left in the kernel."""
    before = footprint(lab.net)
    enforcer = Enforcer(lab.net, policy)
    enforcer.runtime_dir.mkdir(mode=0o700)
    lab.net.host.run("mount", "-t", "tmpfs", "-o", f"{room},mode=700", "none", enforcer.runtime_dir)
    if "nr_inodes" not in room:
        fill(enforcer.runtime_dir, lab)
    with pytest.raises(NotStarted, match="No space left on device") as refused:
        enforcer.start()
    assert refused.value.status == 1
    last = refused.value.stderr.splitlines()[-1]
    assert last.startswith("enforcer: ")
    assert "make room" in last
    assert "Traceback" not in refused.value.stderr
    assert footprint(lab.net) == before


def test_a_disk_that_fills_up_is_told(lab: Lab, policy: str) -> None:
    """A reload is in force all the same, and what can't be recorded is a problem until it is."""
    runtime_dir = lab.net.directory / "enforcer" / "run"
    runtime_dir.mkdir(parents=True, mode=0o700)
    host = lab.net.host
    host.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", runtime_dir)
    with running(lab.net, policy) as enforcer:
        fill(runtime_dir, lab)
        enforcer.policy_file.write_text(policy + "networks: [10.20.0.0/16]\n")
        assert enforcer.cli("reload").returncode == 0

        def told() -> bool:
            texts = [problem["text"] for problem in enforcer.status()["problems"]]
            return any("No space left on device" in text for text in texts)

        until(told, REPAIRED_WITHIN_S, "the problem")
        assert is_closed(lab)
        host.run("rm", runtime_dir / "filler")
        until(lambda: bool(enforcer.status()["healthy"]), REPAIRED_WITHIN_S, "the record")


def test_a_full_disk_below_the_other_directories_is_told(lab: Lab, policy: str) -> None:
    """What the next boot begins with can't be kept, nor what was compiled: all else works."""
    host, cache, state = lab.net.host, lab.net.directory / "cache", lab.net.directory / "state"
    enforcer = Enforcer(lab.net, policy, prefix=("env", f"{FOLDER}={cache}"))
    for directory in (cache, state):
        directory.mkdir()
        host.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", directory)
        fill(directory, lab)
    enforcer.start("--state-dir", str(state))

    def told() -> bool:
        texts = [problem["text"] for problem in enforcer.status()["problems"]]
        return any(str(state) in text and "No space left on device" in text for text in texts)

    try:
        until(told, REPAIRED_WITHIN_S, "the problem")
        assert is_closed(lab)
        host.run("rm", state / "filler")
        until(lambda: bool(enforcer.status()["healthy"]), REPAIRED_WITHIN_S, "health")
        assert enforcer.stop() == 0
    finally:
        enforcer.kill()
    assert "Traceback" not in enforcer.log


@pytest.mark.parametrize("name", [LOCK, RECORD, SOCKET])
@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_something_else_in_place_of_a_file_is_one_clear_error(
    lab: Lab, policy: str, name: str, kind: str
) -> None:
    """Opening a named pipe waits for its other end: the start hung for ever."""
    enforcer = Enforcer(lab.net, policy)
    enforcer.runtime_dir.mkdir(mode=0o700)
    path = enforcer.runtime_dir / name
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    if (name, kind) == (SOCKET, "pipe"):  # left by whoever: it is replaced
        enforcer.start()
        assert enforcer.stop() == 0
        return
    with pytest.raises(NotStarted) as refused:
        enforcer.start()
    assert refused.value.status == 1
    assert str(enforcer.runtime_dir) in refused.value.stderr
    assert "Traceback" not in refused.value.stderr


def test_a_file_in_its_place_is_a_usage_error(lab: Lab, policy: str) -> None:
    """For every command, in words."""
    enforcer = Enforcer(lab.net, policy)
    enforcer.runtime_dir.write_text("")
    for command in ("run", "status", "hosts", "reload", "off"):
        refused = enforcer.cli(command, check=False)
        assert refused.returncode == 2
        assert "is a file" in refused.stderr
