"""What administrators do to a running daemon without meaning harm."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess

import pytest

from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.wait import until

pytestmark = pytest.mark.root

NOBODY = 65534
# posix_acl_xattr.h
ACL, ALL = "system.posix_acl_access", 0xFFFFFFFF


def test_a_storm_of_hangups_is_a_few_reloads(enforcer: Enforcer) -> None:
    """Each signal once was a reload of its own, and `enforcer reload` waited a minute for all."""
    before = enforcer.log.count("policy reloaded")
    for _ in range(2000):
        os.kill(enforcer.process.pid, signal.SIGHUP)
    assert enforcer.cli("reload").returncode == 0
    assert 1 <= enforcer.log.count("policy reloaded") - before <= 200


@pytest.mark.parametrize(
    ("mode", "owner", "group"), [(0o666, 0, 0), (0o664, 0, 1000), (0o644, 1000, 0)]
)
def test_a_policy_that_others_may_change_is_refused(
    enforcer: Enforcer, mode: int, owner: int, group: int
) -> None:
    """Who may write it decides what this machine reaches; what was in force still is."""
    before = enforcer.in_force()
    enforcer.policy_file.chmod(mode)
    os.chown(enforcer.policy_file, owner, group)
    try:
        done = enforcer.cli("reload", check=False)
        assert done.returncode == 2
        assert "can be changed by others than root" in done.stderr
        assert "chown root:root" in done.stderr
        assert enforcer.in_force() == before
    finally:
        enforcer.policy_file.chmod(0o644)
        os.chown(enforcer.policy_file, 0, 0)
    assert enforcer.cli("reload").returncode == 0
    assert enforcer.status()["healthy"]


def test_a_policy_that_a_list_lets_others_change_is_refused(enforcer: Enforcer) -> None:
    """`setfacl -m u:nobody:rw`: the mode shows that as what root's group may do."""
    named = ((1, 6, ALL), (2, 6, NOBODY), (4, 4, ALL), (0x10, 6, ALL), (0x20, 4, ALL))
    entries = b"".join(struct.pack("<HHI", *each) for each in named)
    os.setxattr(enforcer.policy_file, ACL, struct.pack("<I", 2) + entries)
    try:
        done = enforcer.cli("reload", check=False)
        assert done.returncode == 2
        assert "can be changed by others than root" in done.stderr
        enforcer.policy_file.chmod(0o644)  # as the hint says: g-w takes it from the list, too
        assert enforcer.cli("reload").returncode == 0
    finally:
        os.removexattr(enforcer.policy_file, ACL)


def test_who_needs_no_daemon_may_name_the_directory_of_one(enforcer: Enforcer) -> None:
    """It is root's alone to read: `check` was refused to others as called in a wrong way."""
    done = enforcer.cli("check", "--json", check=False, user=NOBODY)
    assert json.loads(done.stdout)["release"], done.stderr


def test_status_of_a_daemon_that_hangs_comes_from_the_kernel(enforcer: Enforcer) -> None:
    """It once waited two minutes, and then said nothing of what is enforced."""
    enforcer.process.send_signal(signal.SIGSTOP)
    try:
        done = enforcer.cli("status", check=False)
    finally:
        enforcer.process.send_signal(signal.SIGCONT)
    assert done.returncode == 3
    assert "enforcing without the daemon: still learning, still denying" in done.stdout
    assert "the daemon is there and does not answer" in done.stdout
    until(lambda: enforcer.status()["healthy"], 20, "the daemon to go on")


def test_off_of_a_daemon_that_hangs_says_how_to_end_it(lab: Lab, policy: str) -> None:
    """It waited two minutes, and then had the machine's opener restart what closes it."""
    with running(lab.net, policy) as enforcer:
        enforcer.process.send_signal(signal.SIGSTOP)
        done = enforcer.cli("off", check=False)
        assert done.returncode == 1
        assert f"it may do so yet; to be sure: kill -9 {enforcer.process.pid}, then" in done.stderr
        enforcer.kill()
        assert enforcer.cli("off").returncode == 0


def test_another_user_is_told_what_takes_root(shared_lab: Lab, policy: str) -> None:
    """Where no daemon runs: what nft says to him is no answer, and the kernel may enforce yet."""
    enforcer = Enforcer(shared_lab.net, policy, "never")
    off = enforcer.cli("off", check=False, user=NOBODY)
    assert off.stderr == (
        "enforcer: off removes what is in the kernel and needs root (hint: use sudo)\n"
    )
    status = enforcer.cli("status", check=False, user=NOBODY)
    assert (off.returncode, status.returncode) == (1, 3)
    assert "no enforcer listens" in status.stderr
    assert "(hint: sudo enforcer status reads from the kernel" in status.stderr


@pytest.mark.parametrize("command", ["status", "check"])
@pytest.mark.parametrize(("redirection", "status"), [(">&-", 0), (">/dev/full", 1)])
def test_output_that_goes_nowhere_is_no_traceback(
    enforcer: Enforcer, shared_lab: Lab, command: str, redirection: str, status: int
) -> None:
    """Closed, it is not missed; a full disk is told in a line."""
    argv = (enforcer.argv("")[0], command) if command == "check" else enforcer.argv(command)
    script = f'exec "$@" {redirection}'
    done = subprocess.run(
        shared_lab.net.host.command("sh", "-c", script, "sh", *argv),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (status, status), done.stderr
