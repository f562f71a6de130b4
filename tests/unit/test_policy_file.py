"""The policy file on disk: what can be read, and that writing is all or nothing."""

from __future__ import annotations

import contextlib
import gc
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.core.places import DEFAULT_POLICY
from enforcer.edge.policy_file import MAX_BYTES, read_policy, write_policy
from enforcer.errors import PolicyError, PolicyProblem

POLICY = "version: 1\norganization: acme\nhosts: [ghcr.io]\n"
NOBODY = 65534


def refused_unless(*, kept: bool, path: Path, because_of: Path) -> None:
    """Check whether *path* can be enforced, which others than root may replace unless *kept*."""
    assert read_policy(path).organization == "acme"
    if kept:
        assert read_policy(path, enforced=True).organization == "acme"
        return
    reason = rf"can be replaced by others than root, in {because_of} \(hint: put it where root"
    with pytest.raises(PolicyError, match=reason):
        read_policy(path, enforced=True)


def problem_of(path: str | Path) -> PolicyProblem:
    """Return the one problem that reading *path* has."""
    with pytest.raises(PolicyError) as caught:
        read_policy(path)
    assert caught.value.path == str(path)
    [problem] = caught.value.problems
    return problem


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be somebody for a while who may neither read nor write in *directory*."""
    mode = directory.stat().st_mode
    directory.chmod(0)
    if os.geteuid() == 0:  # whom no mode stops
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            directory.chmod(mode)
    else:
        try:
            yield
        finally:
            directory.chmod(mode)


def names(directory: Path) -> list[str]:
    """Return the names of the files in *directory*."""
    return [path.name for path in directory.iterdir()]


def test_a_policy_is_read(tmp_path: Path) -> None:
    """A file that is valid is a policy, with a byte order mark or without."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    policy = read_policy(path)
    assert [str(host.pattern) for host in policy.hosts] == ["ghcr.io"]
    path.write_text(POLICY, encoding="utf-8-sig")
    assert read_policy(str(path)) == policy


def test_a_missing_file_is_told_how_to_make_one(tmp_path: Path) -> None:
    """The hint is the command to type, with the path if it isn't the default."""
    path = tmp_path / "policy.yaml"
    problem = problem_of(path)
    assert problem.reason == "doesn't exist"
    assert f"enforcer policy init --output {path} writes one" in problem.hint


@pytest.mark.skipif(Path(DEFAULT_POLICY).exists(), reason="this machine has a policy")
def test_a_missing_default_needs_no_path() -> None:
    """For the default path, the hint is the bare command."""
    assert problem_of(DEFAULT_POLICY).hint == "enforcer policy init writes one to start from"


def test_what_is_not_a_file_is_not_read(tmp_path: Path) -> None:
    """A directory, a device without end, and a pipe that nobody writes into."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert problem_of(tmp_path).reason == "is a directory"
    assert problem_of("/dev/zero").reason == "is not a file"
    assert problem_of(pipe).reason == "is not a file"


def test_what_is_not_reachable_is_told_why(tmp_path: Path) -> None:
    """A file where the path has a directory, and a link to itself."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text(POLICY)
    link.symlink_to(link)
    assert problem_of(file / "policy.yaml").reason == "can't be read: not a directory"
    assert "symbolic link" in problem_of(link).hint


def test_an_unreadable_file_is_told_so(tmp_path: Path) -> None:
    """Whoever may not read it learns that, and what to do."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    with locked(tmp_path):
        problem = problem_of(path)
    assert problem.reason == "can't be read: permission denied"
    assert "run as root" in problem.hint


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"version: 1\n# \xfcber\n", 2), (b"\xff\xfev\0e\0r\0", 1), (b"a\n\nb: \xc3", 3)],
)
def test_other_encodings_are_told_their_line(tmp_path: Path, data: bytes, line: int) -> None:
    """Latin-1, UTF-16, and a character cut in half."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(data)
    problem = problem_of(path)
    assert problem.line == line
    assert "is not UTF-8" in problem.reason


def test_a_huge_file_is_not_parsed(tmp_path: Path) -> None:
    """One octet more than the limit is too much; it is sparse, and costs no disk."""
    path = tmp_path / "policy.yaml"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    assert problem_of(path).reason == "is larger than 32 MiB"


def test_an_invalid_policy_is_told_with_its_path(tmp_path: Path) -> None:
    """Problems of the content come with the line, those of parsing with the path."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + "mode: lenient\n")
    problem = problem_of(path)
    assert (problem.line, problem.key) == (4, "mode")


@pytest.mark.parametrize("text", [POLICY, "version: 2"])
def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path, text: str) -> None:
    """Also after an invalid policy, and also if it was off."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    assert gc.isenabled()
    for switch in (gc.disable, gc.enable):
        switch()
        before = gc.isenabled()
        try:
            read_policy(path)
        except PolicyError:
            assert text != POLICY
        assert gc.isenabled() is before


class Ring:
    """Something cyclic, which only the garbage collector frees."""

    def __init__(self) -> None:
        self.itself = self


def test_the_garbage_collector_need_not_walk_a_policy(tmp_path: Path) -> None:
    """With 100,000 hosts it held everything up for a tenth of a second, again and again.

    What was garbage before is not kept for that.
    """
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    ring = weakref.ref(Ring())
    policy = read_policy(path)
    try:
        assert ring() is None
        assert not any(each is policy.hosts[0] for each in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(each is policy.hosts[0] for each in gc.get_objects())


def test_the_garbage_collector_has_its_way_at_the_next_policy(tmp_path: Path) -> None:
    """What was in use at one reload, and is garbage at the next, is not kept for ever."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    ring = Ring()
    try:
        read_policy(path)
        gone = weakref.ref(ring)
        del ring
        gc.collect()
        assert gone() is not None
        read_policy(path)
        assert gone() is None
    finally:
        gc.unfreeze()


def test_a_written_policy_is_for_all_to_read(tmp_path: Path) -> None:
    """The file has mode 0644 whatever the umask, its directory is made, nothing else stays."""
    path = tmp_path / "enforcer" / "policy.yaml"
    old = os.umask(0o077)
    try:
        write_policy(path, POLICY, replace=False)
    finally:
        os.umask(old)
    assert path.read_text() == POLICY
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_nlink == 1
    assert names(path.parent) == ["policy.yaml"]


def test_a_policy_that_is_there_is_kept(tmp_path: Path) -> None:
    """Without being told to replace it, writing changes nothing."""
    path = tmp_path / "policy.yaml"
    path.write_text("precious")
    with pytest.raises(PolicyError, match=r"exists already \(hint: to replace it, add --force\)"):
        write_policy(path, POLICY, replace=False)
    assert path.read_text() == "precious"
    assert names(tmp_path) == ["policy.yaml"]


def test_a_policy_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Who has the old file open goes on reading the old text."""
    path = tmp_path / "policy.yaml"
    path.write_text("old")
    with path.open() as reader:
        write_policy(path, POLICY, replace=True)
        assert reader.read() == "old"
    assert path.read_text() == POLICY
    assert names(tmp_path) == ["policy.yaml"]


def test_only_the_last_directory_is_made(tmp_path: Path) -> None:
    """A mistyped path doesn't grow a tree."""
    with pytest.raises(PolicyError, match="check the path"):
        write_policy(tmp_path / "a" / "b" / "policy.yaml", POLICY, replace=False)
    assert names(tmp_path) == []


def test_a_policy_can_not_be_written_by_just_anyone(tmp_path: Path) -> None:
    """Where only root may write, others are told so."""
    with (
        locked(tmp_path),
        pytest.raises(PolicyError, match=r"can't be written: permission denied \(hint: run as"),
    ):
        write_policy(tmp_path / "policy.yaml", POLICY, replace=False)
    assert names(tmp_path) == []


def test_a_policy_takes_the_place_of_a_file_only(tmp_path: Path) -> None:
    """`enforcer policy init --output /dev/full --force` once replaced the device."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(PolicyError, match="is no regular file"):
        write_policy(path, "version: 1\n", replace=True)
    assert path.is_fifo()


@pytest.mark.root
@pytest.mark.parametrize(
    ("owner", "mode", "kept"),
    [
        (0, 0o755, True),
        (0, 0o775, True),  # of root's group
        (0, 0o1777, True),  # none but owners rename
        (0, 0o777, False),
        (NOBODY, 0o755, False),
        (NOBODY, 0o1755, False),
    ],
)
@pytest.mark.parametrize("linked", [False, True], ids=["named", "linked to"])
def test_nobody_else_can_put_another_in_the_place_of_what_is_enforced(
    tmp_path: Path, owner: int, mode: int, kept: bool, linked: bool
) -> None:
    """Root's own old policy, say: he who may write to a directory moves what is there."""
    theirs = tmp_path / "theirs"
    path = theirs / "below" / "policy.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(POLICY)
    os.chown(theirs, owner, 0)
    theirs.chmod(mode)
    if linked:
        (tmp_path / "link.yaml").symlink_to(path)
        path = tmp_path / "link.yaml"
    refused_unless(kept=kept, path=path, because_of=theirs)


@pytest.mark.root
@pytest.mark.parametrize("owner", [0, NOBODY])
@pytest.mark.parametrize("end", ["link.yaml", "directory/policy.yaml"])
def test_nor_another_link(tmp_path: Path, owner: int, end: str) -> None:
    """What stands between the first link and the last file decides as much as both."""
    theirs, roots = tmp_path / "theirs", tmp_path / "roots"
    theirs.mkdir()
    roots.mkdir()
    (roots / "policy.yaml").write_text(POLICY)
    (theirs / "link.yaml").symlink_to("../roots/policy.yaml")
    (theirs / "directory").symlink_to(roots)
    (tmp_path / "policy.yaml").symlink_to(theirs / end)
    os.chown(theirs, owner, 0)
    refused_unless(kept=owner == 0, path=tmp_path / "policy.yaml", because_of=theirs)


@pytest.mark.root
def test_nor_somebodys_link_where_only_owners_rename(tmp_path: Path) -> None:
    """Its owner may. Unless fs.protected_symlinks is off it is not even followed."""
    (tmp_path / "roots.yaml").write_text(POLICY)
    path = tmp_path / "policy.yaml"
    path.symlink_to("roots.yaml")
    tmp_path.chmod(0o1777)
    refused_unless(kept=True, path=path, because_of=tmp_path)
    os.lchown(path, NOBODY, 0)
    with pytest.raises(PolicyError, match=r"can't be read|can be replaced by others"):
        read_policy(path, enforced=True)
