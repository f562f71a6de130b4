"""What a process leaves word of is there for the next one, once."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from enforcer.edge.last_words import discard, leave, read
from enforcer.edge.own_files import RuntimeDirError
from enforcer.edge.runtime import LAST_WORDS, RuntimeDir

OPENED = (
    ((ip_address("198.18.0.1"), 443), ("a.test", "b.test")),
    ((ip_address("2001:db8::1"), 5000), ("c.test",)),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory of root's, or whoever runs this, alone."""
    tmp_path.chmod(0o700)
    return tmp_path


def test_it_is_read_as_it_was_written_until_it_is_discarded(directory: Path) -> None:
    """The order says what was opened last; a later process has other words."""
    leave(directory, OPENED[::-1])
    leave(directory, OPENED)
    assert (directory / LAST_WORDS).stat().st_mode & 0o777 == 0o600
    assert read(directory) == read(directory) == OPENED
    for _ in range(2):
        discard(directory)
        assert read(directory) == ()


@pytest.mark.parametrize(
    "text",
    [
        *("", '[["198.18.0.1", 443', "{}x", '[["nowhere", 443, []]]', "[1]"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_half_of_it_is_an_error(directory: Path, text: str) -> None:
    """A disk was full, or somebody else wrote it."""
    (directory / LAST_WORDS).write_text(text)
    with pytest.raises(RuntimeDirError, match="makes no sense"):
        read(directory)


def test_a_directory_that_others_write_to_is_not_believed(directory: Path) -> None:
    """What stands there may end connections."""
    leave(directory, OPENED)
    directory.chmod(0o777)
    with pytest.raises(RuntimeDirError, match="can't be trusted"):
        read(directory)
    with pytest.raises(RuntimeDirError, match="can't be trusted"):
        leave(directory, OPENED)


def test_a_directory_that_is_not_there_is_an_error_of_its_own(directory: Path) -> None:
    """The end goes on without it."""
    with pytest.raises(RuntimeDirError, match="can't be used"):
        leave(directory / "gone", OPENED)


def test_off_leaves_no_word(directory: Path) -> None:
    """As it leaves nothing else."""
    leave(directory, OPENED)
    RuntimeDir(directory).forget()
    assert list(directory.iterdir()) == []
