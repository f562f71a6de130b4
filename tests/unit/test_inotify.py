"""Files that are written, replaced, linked elsewhere or made later are noticed."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enforcer.edge.inotify import FileEvents, WatchError

# Events are queued before the call that causes them returns.
AT_ONCE_S = 0


@pytest.fixture
def events() -> Iterator[FileEvents]:
    """Return events of no file yet."""
    made = FileEvents()
    yield made
    made.close()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a file to be watched."""
    path = tmp_path / "etc" / "resolv.conf"
    path.parent.mkdir()
    path.write_text("nameserver 192.0.2.1\n")
    return path


def changed(events: FileEvents) -> bool:
    """Tell whether a watched file changed."""
    readable, _, _ = select.select([events], [], [], AT_ONCE_S)
    return bool(readable) and events.drain()


def rewritten(path: Path) -> None:
    """Truncate and write, as a shell does."""
    path.write_text("nameserver 192.0.2.2\n")


def replaced(path: Path) -> None:
    """Write beside it and rename, as careful programs do."""
    new = path.with_name(".new")
    new.write_text("nameserver 192.0.2.2\n")
    new.replace(path)


def switched(path: Path) -> None:
    """Make it a symbolic link to another file."""
    target = path.parent.parent / "stub.conf"
    target.write_text("nameserver 192.0.2.2\n")
    path.unlink()
    path.symlink_to(target)


def removed(path: Path) -> None:
    """Remove it."""
    path.unlink()


def moved_away(path: Path) -> None:
    """Rename it."""
    path.rename(path.with_name("old"))


def given_away(path: Path) -> None:
    """Let others write it."""
    path.chmod(0o666)


CHANGES = [rewritten, replaced, switched, removed, moved_away, given_away]


@pytest.mark.parametrize("change", CHANGES)
def test_every_way_to_change_a_file_is_noticed(
    events: FileEvents, conf: Path, change: Callable[[Path], None]
) -> None:
    """Once, and again after it was looked for anew."""
    events.watch([conf])
    assert not changed(events)
    change(conf)
    assert changed(events)
    assert not changed(events)
    events.watch([conf])
    rewritten(conf)
    assert changed(events)


@pytest.mark.parametrize("change", CHANGES)
def test_a_link_and_its_target_are_both_watched(
    events: FileEvents, conf: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """As systemd-resolved's and WSL's resolv.conf are, over two links."""
    first, second = tmp_path / "one" / "first", tmp_path / "two" / "second"
    for link, target in ((second, conf), (first, Path("../two/second"))):
        link.parent.mkdir()
        link.symlink_to(target)
    events.watch([first])
    change(conf)
    assert changed(events)
    events.watch([first])
    replaced(second)
    assert changed(events)
    events.watch([first])
    switched(first)
    assert changed(events)


def test_a_directory_that_appears_later_is_noticed(events: FileEvents, tmp_path: Path) -> None:
    """systemd-resolved may start after us: each directory on the way is waited for."""
    path = tmp_path / "run" / "systemd" / "resolve" / "resolv.conf"
    for directory in reversed(path.parents[:3]):
        events.watch([path])
        directory.mkdir()
        assert changed(events)
    events.watch([path])
    rewritten(path)
    assert changed(events)


def test_a_directory_that_goes_is_noticed(events: FileEvents, conf: Path) -> None:
    """With all in it; when it comes back so does the watch."""
    events.watch([conf])
    conf.unlink()
    conf.parent.rmdir()
    assert changed(events)
    events.watch([conf])
    conf.parent.mkdir()
    assert changed(events)
    events.watch([conf])
    rewritten(conf)
    assert changed(events)


def test_other_files_are_nobodys_business(events: FileEvents, conf: Path) -> None:
    """/etc and /run are busy places."""
    events.watch([conf])
    rewritten(conf.with_name("other"))
    conf.with_name("other").unlink()
    assert not changed(events)


def test_a_file_bound_over_another_is_noticed(events: FileEvents, conf: Path) -> None:
    """The directory hears nothing of it, as with a container's resolv.conf: a hard link here."""
    twin = conf.parent.parent / "twin"
    twin.hardlink_to(conf)
    events.watch([conf])
    rewritten(twin)
    assert changed(events)


def test_no_files_no_events(events: FileEvents, conf: Path) -> None:
    """What is watched no more is quiet."""
    events.watch([conf])
    events.watch([])
    rewritten(conf)
    assert not changed(events)


def test_a_loop_of_links_ends(events: FileEvents, tmp_path: Path) -> None:
    """It leads nowhere until one of them is replaced."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.symlink_to(two)
    two.symlink_to(one)
    events.watch([one])
    replaced(two)
    assert changed(events)


def test_a_kernel_that_refuses_says_why(conf: Path) -> None:
    """Out of descriptors, for one."""
    made = FileEvents()
    made.watch([])
    os.close(made.fileno())
    with pytest.raises(WatchError, match="can't watch"):
        made.watch([conf])


def test_a_file_system_that_refuses_is_told_as_such(events: FileEvents, tmp_path: Path) -> None:
    """One whose server has gone raised what nobody expected, and ended the daemon."""
    with pytest.raises(WatchError, match=r"can't watch files: .*too long.*hint: see whether"):
        events.watch([tmp_path / ("x" * 300)])
