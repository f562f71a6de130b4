"""What can't be enforced is refused with one clear error, and leaves nothing in the kernel."""

from __future__ import annotations

import re
import sys

import pytest

from tests.lab import without_call
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.registry import DENIED

pytestmark = pytest.mark.root

NOBODY = 65534


def _refused(lab: Lab, enforcer: Enforcer, *options: str) -> NotStarted:
    """Start *enforcer*, which has to refuse in one line and change nothing."""
    before = footprint(lab.net)
    with pytest.raises(NotStarted) as refused:
        enforcer.start(*options)
    assert footprint(lab.net) == before
    assert attempt(lab.net.host, DENIED.addresses[0]).outcome == "connected"
    errors = [line for line in refused.value.stderr.splitlines() if line.startswith("enforcer: ")]
    assert len(errors) == 1, refused.value.stderr
    assert "Traceback" not in refused.value.stderr
    assert "left in the kernel" not in refused.value.stderr
    return refused.value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hosts: [", "not YAML"),
        ("version: 1\norganization: lab\nhost: [a.test]\n", "host"),
        ("version: 1\norganization: lab\nhosts: ['*']\n", "'*'"),
        ("version: 1\norganization: lab\nhosts: ['a.test:0']\n", "port"),
        ("version: 1\norganization: lab\nnetworks: [10.1.2.3/8]\n", "10.1.2.3/8"),
        ("version: 1\norganization: lab\nresolvers: [one]\n", "one"),
        ("version: 1\norganization: lab\nregistries: [nowhere]\n", "nowhere"),
        ("version: 1\norganization: lab\nregistries: [ecr]\n", "account"),
    ],
)
def test_bad_policies_are_refused(shared_lab: Lab, text: str, named: str) -> None:
    """A policy that can't be used ends the start with 2, naming file and mistake."""
    refused = _refused(shared_lab, Enforcer(shared_lab.net, text))
    assert refused.status == 2
    assert "policy.yaml" in refused.stderr
    assert named in refused.stderr.replace('"', "'")


def test_a_missing_policy_is_refused(shared_lab: Lab, policy: str) -> None:
    """No policy file: 2, naming it."""
    enforcer = Enforcer(shared_lab.net, policy)
    enforcer.policy_file.unlink()
    refused = _refused(shared_lab, enforcer)
    assert refused.status == 2
    assert str(enforcer.policy_file) in refused.stderr


def test_only_root_can_enforce(shared_lab: Lab, policy: str) -> None:
    """`enforcer run` by another user says that it needs root."""
    before = footprint(shared_lab.net)
    enforcer = Enforcer(shared_lab.net, policy)
    arguments = ("run", "--policy", str(enforcer.policy_file))
    refused = enforcer.cli(*arguments, check=False, user=NOBODY)
    assert refused.returncode == 1
    assert "root" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert footprint(shared_lab.net) == before


def test_a_cgroup_that_is_none_is_refused(shared_lab: Lab, policy: str) -> None:
    """--cgroup naming no directory of cgroup v2: 1, naming it."""
    refused = _refused(shared_lab, Enforcer(shared_lab.net, policy), "--cgroup", "/proc")
    assert refused.status == 1
    assert "/proc" in refused.stderr


def test_a_machine_without_cgroup2_is_refused(lab: Lab, policy: str) -> None:
    """No cgroup v2, and a kernel that can't mount it: one error that says so."""
    enforcer = Enforcer(lab.net, policy)
    run = (sys.executable, without_call.__file__, "mount", "ENODEV", *enforcer.argv("run"))
    unmounted = ("unshare", "--mount", "sh", "-c", 'umount -a -t cgroup2 && exec "$@"', "sh")
    before = footprint(lab.net)
    refused = lab.net.host.run(*unmounted, *run, "--policy", enforcer.policy_file, check=False)
    assert refused.returncode in {1, 4}
    assert "cgroup" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert footprint(lab.net) == before


def test_a_kernel_that_is_too_old_is_refused(shared_lab: Lab, policy: str) -> None:
    """4, naming what is needed, from `check` and `run`; nothing was tried that it could not do."""
    enforcer = Enforcer(shared_lab.net, policy)
    # personality(2), UNAME26: the kernel calls itself 2.6 to who can't read a later number.
    older = ("setarch", "--uname-2.6")
    before = footprint(shared_lab.net)
    program, *_ = run = enforcer.argv("run", "--policy", str(enforcer.policy_file))
    checked = shared_lab.net.host.run(*older, program, "check", check=False)
    assert checked.returncode == 4
    # Some kernels' names are so long that the line is broken.
    text = " ".join(checked.stdout.split())
    assert re.search(r"version Linux 2\.6\.\S+ found, 5\.4 or newer needed", text)
    refused = shared_lab.net.host.run(*older, *run, check=False)
    assert refused.returncode == 4
    assert "5.4 or newer" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert footprint(shared_lab.net) == before


def test_the_control_socket_is_for_root(lab: Lab, policy: str) -> None:
    """Commands by another user say that they need root, and get no data."""
    enforcer = Enforcer(lab.net, policy)
    enforcer.start()
    try:
        done = enforcer.cli("hosts", check=False, user=NOBODY)
    finally:
        enforcer.stop()
    assert done.returncode == 1
    assert "root" in done.stderr
    assert done.stdout == ""
