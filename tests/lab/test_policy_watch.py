"""A policy that says `watch: true` is put in force by itself when its file changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.wait import DeadlinePassed, until

pytestmark = pytest.mark.root

POLICY = f"version: 1\norganization: lab\nwatch: true\nhosts:\n  - {ALLOWED.name}\n"
OTHER = f"{POLICY}  - {DENIED.name}\n"
# What is not announced is looked at every 5 s.
NOTICED_WITHIN_S = 20
# And what is announced a quarter of a second after it has settled.
ANNOUNCED_WITHIN_S = 1.5


@pytest.fixture(autouse=True)
def _as_at_first(enforcer: Enforcer) -> Iterator[None]:
    """Have POLICY in force again after each test."""
    yield
    for path in enforcer.directory.glob("data*"):
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    enforcer.policy_file.unlink(missing_ok=True)
    enforcer.put_in_force(POLICY)


def in_place(path: Path, text: str) -> None:
    """Write *text* into the file that is there, as `cat >` does."""
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    """Put another file there, as most tools do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def by_moving_away(path: Path, text: str) -> None:
    """Move the old file away before the new one is written, as vim does."""
    path.rename(path.with_suffix(".yaml~"))
    path.write_text(text)


def by_links(path: Path, text: str) -> None:
    """Change where a link leads that the file's own link leads through, as Kubernetes does."""
    for number in (1, 2):
        (path.parent / f"data{number}").mkdir()
    (path.parent / "data1" / path.name).write_text(path.read_text())
    (path.parent / "data2" / path.name).write_text(text)
    current, new = path.parent / "data", path.parent / "data.new"
    current.symlink_to("data1")
    path.unlink()
    path.symlink_to(f"data/{path.name}")
    new.symlink_to("data2")
    new.replace(current)


def is_open(lab: Lab) -> bool:
    """Tell whether the registry that only OTHER permits is reached."""
    return attempt(lab.net.host, DENIED.addresses[0]).outcome == "connected"


@pytest.mark.parametrize("change", [in_place, by_rename, by_moving_away, by_links])
def test_a_changed_file_is_put_in_force(
    shared_lab: Lab, enforcer: Enforcer, change: Callable[[Path, str], None]
) -> None:
    """However it is changed; and again afterwards."""
    change(enforcer.policy_file, OTHER)
    until(lambda: is_open(shared_lab), NOTICED_WITHIN_S, "the other policy")
    in_place(enforcer.policy_file, POLICY)
    until(lambda: not is_open(shared_lab), NOTICED_WITHIN_S, "the first policy again")
    until(lambda: enforcer.status()["healthy"], NOTICED_WITHIN_S, "health")


def problem_of(enforcer: Enforcer) -> str:
    """Return what status says of the policy file, or nothing."""
    status = enforcer.status()
    assert status["daemon"]["running"], "without its answer nobody knows of the file"
    texts = (each["text"] for each in status["problems"])
    return next((text for text in texts if "policy file is not in force" in text), "")


@pytest.mark.parametrize("text", ["hosts: [", None], ids=["mistakes", "vanished"])
def test_a_file_that_can_t_be_used_changes_nothing(
    shared_lab: Lab, enforcer: Enforcer, text: str | None
) -> None:
    """It is a problem, the policy before it stays, and so does the watch."""
    if text is None:
        enforcer.policy_file.unlink()
    else:
        in_place(enforcer.policy_file, text)
    until(lambda: problem_of(enforcer), NOTICED_WITHIN_S, "the problem")
    assert attempt(shared_lab.net.host, ALLOWED.addresses[0]).outcome == "connected"
    assert not is_open(shared_lab)
    in_place(enforcer.policy_file, OTHER)
    until(lambda: is_open(shared_lab), NOTICED_WITHIN_S, "the other policy")
    until(lambda: enforcer.status()["healthy"], NOTICED_WITHIN_S, "health")


def test_a_file_that_anybody_may_change_is_a_problem_until_it_is_mended(enforcer: Enforcer) -> None:
    """By chmod alone: its content is as it was."""
    enforcer.policy_file.chmod(0o666)
    until(lambda: "others than root" in problem_of(enforcer), NOTICED_WITHIN_S, "the problem")
    enforcer.policy_file.chmod(0o644)
    until(lambda: not problem_of(enforcer), NOTICED_WITHIN_S, "the end of the problem")


def test_half_a_file_is_not_put_in_force(shared_lab: Lab, enforcer: Enforcer) -> None:
    """A policy that is still being written permits less than it will, and ends connections."""
    path = enforcer.policy_file
    path.unlink()
    until(lambda: problem_of(enforcer), NOTICED_WITHIN_S, "the file to be missed")
    with path.open("w") as file:
        file.write("version: 1\norganization: lab\nwatch: true\nhosts: []\n# more to come\n")
        file.flush()
        os.utime(path)
        with pytest.raises(DeadlinePassed):
            until(
                lambda: not problem_of(enforcer),
                ANNOUNCED_WITHIN_S,
                "half a file to be put in force",
            )
        assert attempt(shared_lab.net.host, ALLOWED.addresses[0]).outcome == "connected"
        file.seek(0)
        file.truncate()
        file.write(OTHER)
    until(lambda: is_open(shared_lab), NOTICED_WITHIN_S, "the whole file")


def test_a_file_is_not_watched_unless_it_says_so(shared_lab: Lab, enforcer: Enforcer) -> None:
    """The policy in force decides: it takes a reload to begin, and another change to end."""
    before = enforcer.status()["policy"]["digest"]
    in_place(enforcer.policy_file, POLICY.replace("watch: true", "watch: false"))
    until(lambda: enforcer.status()["policy"]["digest"] != before, NOTICED_WITHIN_S, "the change")
    in_place(enforcer.policy_file, OTHER)
    with pytest.raises(DeadlinePassed):
        until(
            lambda: is_open(shared_lab),
            ANNOUNCED_WITHIN_S,
            "a file that is not watched to be put in force",
        )
    enforcer.cli("reload")
    assert is_open(shared_lab)
