"""The runtime directory: nobody else may put anything into it."""

from __future__ import annotations

import fcntl
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcer.edge.own_files import RuntimeDirError
from enforcer.edge.runtime import LOCK, RECORD, Attachments, RuntimeDir

TURNS = 60  # of each thread: enough to meet every race several times

RECORDED = Attachments(
    "/sys/fs/cgroup",
    (7, 9),
    ("192.0.2.53", "2001:db8::53"),
    (0xBEEF, 0xBEF0),
    {"chain output": "abc"},
    ("10.0.0.0/8",),
    {4: (2,), 6: (2, 3)},
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory as the daemon makes it."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


def test_what_was_recorded_is_found(directory: Path) -> None:
    """By another process, and as often as it changes; for root alone."""
    runtime = RuntimeDir(directory)
    assert runtime.recorded() is None
    for nonce in (1, 2):
        attachments = Attachments("/cgroup", (nonce,), ("192.0.2.1",), (nonce,), None)
        runtime.record(attachments)
        assert RuntimeDir(directory).recorded() == attachments
    assert (directory / RECORD).stat().st_mode & 0o777 == 0o600
    runtime.forget()
    assert runtime.recorded() is None


def test_a_record_of_version_0_1_0_is_found(directory: Path) -> None:
    """It says less."""
    record = {"cgroup": "/cgroup", "program_ids": [7], "resolvers": ["192.0.2.1"], "nonce": 5}
    (directory / RECORD).write_text(json.dumps(record))
    expected = Attachments("/cgroup", (7,), ("192.0.2.1",), (5,), None)
    assert RuntimeDir(directory).recorded() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        pytest.param("[" * 100_000, id="deep"),
        '{"cgroup": "/", "program_ids": ["x"]}',
        '{"cgroup": "/", "program_ids": [], "resolvers": [], "nonces": [], "last_defaults": [1]}',
    ],
)
def test_a_record_that_makes_no_sense_is_an_error(directory: Path, text: str) -> None:
    """It names the file to remove."""
    (directory / RECORD).write_text(text)
    with pytest.raises(RuntimeDirError, match="makes no sense") as refused:
        RuntimeDir(directory).recorded()
    assert str(directory / RECORD) in refused.value.message


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [(0o700, True), (0o755, True), (0o770, False), (0o1777, False), (0o702, False)],
)
def test_a_directory_that_others_may_write_to_is_refused(
    directory: Path, mode: int, *, accepted: bool
) -> None:
    """They could replace the record, and with it which programs are detached."""
    RuntimeDir(directory).record(RECORDED)
    directory.chmod(mode)
    if accepted:
        assert RuntimeDir(directory).recorded() == RECORDED
        return
    with pytest.raises(RuntimeDirError, match=f"others may write to it \\(mode {mode:o}\\)"):
        RuntimeDir(directory).recorded()
    with pytest.raises(RuntimeDirError, match="others may write") as refused:
        RuntimeDir(directory).hold()
    assert refused.value.hint == "remove it, or name another with --runtime-dir"
    assert not (directory / LOCK).exists()


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    """One that was there first, in a place where everybody may make some."""
    os.chown(directory, 1234, 1234)
    with pytest.raises(RuntimeDirError, match="it belongs to user 1234"):
        RuntimeDir(directory).hold()
    assert not (directory / LOCK).exists()


def test_a_link_in_its_place_is_refused(directory: Path, tmp_path: Path) -> None:
    """Whoever made the link decides where it leads next time."""
    link = tmp_path / "link"
    link.symlink_to(directory)
    with pytest.raises(RuntimeDirError, match="it is a symbolic link"):
        RuntimeDir(link).hold()
    assert not (directory / LOCK).exists()


@pytest.mark.parametrize("name", [LOCK, RECORD, f"{RECORD}.new"])
def test_links_in_it_are_not_followed(directory: Path, tmp_path: Path, name: str) -> None:
    """Neither read nor written through; what they lead to keeps its content."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (directory / name).symlink_to(precious)
    runtime = RuntimeDir(directory)
    if name == f"{RECORD}.new":
        runtime.record(RECORDED)
        assert runtime.recorded() == RECORDED
    else:
        with pytest.raises(RuntimeDirError, match="can't be used"):
            runtime.hold() if name == LOCK else runtime.recorded()
    assert precious.read_text() == "precious"


def test_lock_files_go_with_the_one_who_held_them(directory: Path) -> None:
    """They piled up; and one that somebody else removes is told, and locked again."""
    namespaces = directory / "namespaces"
    first, second = (RuntimeDir(directory, namespaces) for _ in range(2))
    first.hold()
    with pytest.raises(RuntimeDirError, match="another enforcer runs here"):
        second.hold()
    assert first.held
    first.release()
    assert not (directory / LOCK).exists()
    assert not list(namespaces.iterdir())
    found = []
    for removed in (None, LOCK, None):
        if removed:
            (directory / removed).unlink()
            found.append(second.held)
        second.hold()
        found.append(second.held)
    second.release()
    assert found == [True, False, True, True]


def test_lock_files_of_the_dead_go_with_the_next_start(directory: Path) -> None:
    """Killed daemons left one for each network namespace that ever was; the living keep theirs.

    And what is no lock file, a link for one, is nobody's to follow.
    """
    namespaces = directory / "namespaces"
    living, next_one = RuntimeDir(directory / "living"), RuntimeDir(directory, namespaces)
    (directory / "living").mkdir(mode=0o700)
    namespaces.mkdir(mode=0o700)
    for inode in range(1000, 1300):
        (namespaces / str(inode)).write_text("pid 1, /run/enforcer\n")
    precious = directory / "precious"
    precious.write_text("precious")
    (namespaces / "link").symlink_to(precious)
    held = (namespaces / "1007").open("r+")
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        living.hold()
        next_one.hold()
        found = {path.name for path in namespaces.iterdir()}
        assert found == {"1007", "link", str(Path("/proc/self/ns/net").stat().st_ino)}
        assert next_one.held
    living.release()
    next_one.release()
    assert precious.read_text() == "precious"


def test_two_who_take_turns_never_hold_it_both(directory: Path) -> None:
    """Who opened the file before the other one removed it would lock what nobody looks for."""

    def turns() -> int:
        taken = 0
        while taken < TURNS:
            mine = RuntimeDir(directory, directory / "namespaces")
            try:
                mine.hold()
            except RuntimeDirError:
                mine.release()
                continue
            try:
                assert mine.held
                (directory / "inside").touch(exist_ok=False)
                (directory / "inside").unlink()
            finally:
                mine.release()
            taken += 1
        return taken

    with ThreadPoolExecutor(4) as executor:
        results = [executor.submit(turns) for _ in range(4)]
        assert [each.result(timeout=60) for each in results] == [TURNS] * 4


def test_a_record_that_somebody_removed_is_written_again(directory: Path) -> None:
    """And one that is as it was is not."""
    writer = RuntimeDir(directory)
    assert writer.record(RECORDED)
    assert not writer.record(RECORDED)
    (directory / RECORD).unlink()
    assert writer.record(RECORDED)
    (directory / RECORD).write_text("{}")
    assert writer.record(RECORDED)
    assert RuntimeDir(directory).recorded() == RECORDED


def test_a_pipe_in_place_of_the_record_does_not_hang(directory: Path) -> None:
    """Opening it waited for somebody to write."""
    os.mkfifo(directory / RECORD)
    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(RuntimeDir(directory).recorded)
        try:
            with pytest.raises(RuntimeDirError):
                reading.result(timeout=5)
        finally:
            # One that still waits finds a writer, and then the end.
            os.close(os.open(directory / RECORD, os.O_RDWR))
