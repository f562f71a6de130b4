"""The kernel checks on this machine: what they find and what they leave."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.kernel_checks import (
    bpf,
    bpfcall,
    cgroup2,
    clsact,
    connect,
    conntrack,
    jit,
    loops,
    maps,
    nflog,
    nftables,
    perf_events,
    scratch,
    seal,
    sock_destroy,
    sock_ops,
    suite,
    tc,
    version,
)
from enforcer.kernel_checks.result import Outcome, Result
from tests.lab import bpf_objects
from tests.lab.wait import until

if TYPE_CHECKING:
    from types import ModuleType

PROBES = [
    bpf,
    jit,
    maps,
    loops,
    clsact,
    tc,
    sock_ops,
    connect,
    seal,
    perf_events,
    cgroup2,
    nftables,
    nflog,
    conntrack,
    sock_destroy,
]
PRIVILEGED = [each for each in PROBES if each not in (cgroup2, perf_events)]
COMMAND = "from enforcer.cli.check import check; check()"
NOBODY = 65534
COVERED = """
for at in $(findmnt --noheadings --list --output TARGET --types cgroup2); do
  mount -t tmpfs none $at
done
"""


def python(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, outside of the checkout."""
    command = [*prefix, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, cwd="/")


def examined(prefix: tuple[str, ...]) -> dict[str, Any]:
    """Return the report of all checks in a process that is started by *prefix*, by check."""
    done = python("-m", "enforcer.kernel_checks", "--json", prefix=prefix)
    assert done.stdout, done.stderr
    return {check["id"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.mark.root
@pytest.mark.parametrize("check", PROBES)
def test_probe_agrees_with_the_release_it_is_declared_for(check: ModuleType) -> None:
    """On a kernel that must have it, a probe that says otherwise is wrong."""
    if not version.at_least(os.uname().release, check.FIRST_RELEASE):
        pytest.skip("this kernel is older than what the check looks for")
    assert check.check().outcome is Outcome.SUPPORTED


@pytest.mark.root
@pytest.mark.parametrize("check", PRIVILEGED)
def test_without_root_the_probes_are_inconclusive(check: ModuleType) -> None:
    """What needs privilege says so, with the remedy, and blames no kernel."""

    def unprivileged() -> Result:
        os.setgroups([])
        os.setresuid(NOBODY, NOBODY, NOBODY)
        outcome: Result = check.check()
        return outcome

    result = scratch.in_child(check.ID, unprivileged)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.remedy == "run the check as root: sudo enforcer check"


@pytest.mark.root
@pytest.mark.parametrize("name", ["clsact", "nftables"])
def test_root_without_network_privilege_proves_nothing(name: str) -> None:
    """A namespace can be made there, and the kernel still refuses what is tried in it."""
    code = f"from enforcer.kernel_checks import {name}; print({name}.check().outcome.value)"
    without = ("setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin")
    done = python("-c", code, prefix=without)
    assert done.stdout == "inconclusive\n", done.stderr


@pytest.mark.root
def test_root_of_a_user_namespace_is_not_root_of_the_machine() -> None:
    """In a rootless container all capabilities are there and bpf(2) is refused."""
    found = examined(prefix=("unshare", "--user", "--map-root-user"))
    assert found["bpf"]["outcome"] == "inconclusive"
    assert "user namespace" in found["bpf"]["detail"]
    assert found["bpf"]["remedy"] == "run the check as root of the machine"


@pytest.mark.root
def test_root_without_bpf_is_told_which_capability_it_lacks() -> None:
    """Of a service whose unit gives it too few; what depends on bpf(2) is not tried."""
    lacking = "-bpf,-sys_admin"
    found = examined(prefix=("setpriv", f"--inh-caps={lacking}", f"--bounding-set={lacking}"))
    assert found["bpf"]["outcome"] == "inconclusive"
    assert "it takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN" in found["bpf"]["detail"]
    for check in ("bpf-maps", "bpf-loops", "bpf-tc", "bpf-sock-ops", "bpf-connect", "bpf-seal"):
        assert found[check]["outcome"] == "inconclusive"
        assert found[check]["detail"] == "not tried without bpf"


@pytest.mark.root
def test_bpf_refused_by_seccomp_is_told_apart() -> None:
    """Docker's default profile does this to a container's root."""

    def filtered() -> Result:
        _forbid_bpf()
        return bpf.check()

    result = scratch.in_child("bpf", filtered)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "seccomp" in result.detail


@pytest.mark.root
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("umount --recursive /sys/fs/cgroup", "not mounted; enforcer mounts one of its own"),
        (COVERED, "is no cgroup; enforcer mounts one of its own"),
    ],
    ids=["none", "mounted over"],
)
def test_a_broken_mount_of_cgroup2_is_said_and_no_obstacle(how: str, said: str) -> None:
    """The programs can be attached all the same, to a mount of enforcer's own."""
    inside = ("unshare", "--mount", "sh", "-ec", f'{how} >&2; exec "$@"', "sh")
    found = examined(prefix=inside)
    assert found["cgroup2"]["outcome"] == "supported"
    assert found["cgroup2"]["detail"].endswith(said)
    assert found["bpf-sock-ops"]["outcome"] == "supported"


@pytest.mark.root
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("umount --recursive /sys/fs/bpf || true", "not mounted, and not needed"),
        ("mkdir -p /sys/fs/bpf; mount -t bpf none /sys/fs/bpf", "on /sys/fs/bpf; nothing is"),
    ],
)
def test_bpffs_is_not_needed(how: str, said: str) -> None:
    """And where it is, nothing of ours is in it."""
    found = examined(prefix=("unshare", "--mount", "sh", "-c", f'{how}; exec "$@"', "sh"))
    assert (found["bpffs"]["outcome"], found["bpffs"]["required"]) == ("supported", False)
    assert said in found["bpffs"]["detail"]


@pytest.mark.root
def test_a_limit_that_can_not_be_lifted_is_tried() -> None:
    """Since Linux 5.11 maps don't count against it; before, a large one is refused."""
    prefix = ("prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-sys_resource")
    found = examined(prefix=(*prefix, "--inh-caps=-sys_resource"))
    if version.at_least(os.uname().release, (5, 11)):
        assert found["memlock"]["outcome"] == "supported"
        assert "64 kB that can't be lifted, but not for maps" in found["memlock"]["detail"]
    else:
        assert "LimitMEMLOCK=infinity" in found["memlock"]["remedy"]


@pytest.mark.root
def test_what_the_verifier_says_is_passed_on() -> None:
    """Of a helper that there is not: as of a kernel that is too old for it."""

    def refused() -> Result:
        code = bpfcall.call(12345) + bpfcall.leave(0)
        try:
            bpfcall.load("with a helper", bpfcall.SCHED_CLS, code)
        except bpfcall.Refused as exc:
            return exc.as_result("bpf-tc", "something newer")
        raise AssertionError

    result = scratch.in_child("bpf-tc", refused)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "a program with a helper" in result.detail
    assert "12345" in result.detail
    assert result.remedy == "use a kernel with something newer"


def _forbid_bpf() -> None:
    """Make bpf(2) answer EPERM in this process and its children (seccomp(2))."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    instruction = struct.Struct("=HBBI")
    program = b"".join(
        instruction.pack(*fields)
        for fields in (
            (0x20, 0, 0, 0),  # load the system call's number
            (0x15, 0, 1, number),  # another one: skip the next
            (0x06, 0, 0, 0x00050001),  # SECCOMP_RET_ERRNO | EPERM
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    length = len(program) // instruction.size
    filter_program = struct.pack("@HP", length, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, filter_program, 0, 0) == 0  # PR_SET_SECCOMP, by a filter


@pytest.mark.root
@pytest.mark.parametrize("name", ["ct", "reject", "counter"])
def test_expressions_of_the_ruleset_are_found(name: str) -> None:
    """Each has a check of its own, which passes on a kernel that has it all."""
    (expression,) = (one for one in nftables.EXPRESSIONS if one.name == name)
    result = nftables.check_expression(expression)
    assert (result.id, result.outcome) == (f"nft-{name}", Outcome.SUPPORTED)


@pytest.mark.root
def test_missing_expression_is_named_with_its_option_and_what_it_costs() -> None:
    """The kernel refuses tproxy in an output chain, as it would any expression it lacks."""
    rule = "meta l4proto tcp tproxy to :1"
    lacking = nftables.Expression("tproxy", "", rule, "CONFIG_NFT_TPROXY", "nothing is diverted")
    result = nftables.check_expression(lacking)
    assert (result.id, result.outcome) == ("nft-tproxy", Outcome.UNSUPPORTED)
    assert result.detail == ("no expression tproxy: Operation not supported: nothing is diverted")
    assert "CONFIG_NFT_TPROXY" in (result.remedy or "")


# Run in a network namespace of its own, so that nothing else changes what it compares.
STATE_BEFORE_AND_AFTER = """
import os, pathlib, resource, subprocess, time
from enforcer.kernel_checks import suite

def state():
    def output(*command):
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {
        "qdiscs": output("tc", "qdisc", "show"),
        "filters": output("tc", "filter", "show", "dev", "lo"),
        "ruleset": output("nft", "list", "ruleset"),
        "interfaces": output("ip", "-details", "address"),
        "network namespace": os.readlink("/proc/self/ns/net"),
        "mounts": pathlib.Path("/proc/self/mountinfo").read_text(),
        "cgroup": pathlib.Path("/proc/self/cgroup").read_text(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "children": pathlib.Path("/proc/thread-self/children").read_text(),
        "limit": resource.getrlimit(resource.RLIMIT_MEMLOCK),
        "directory": os.getcwd(),
    }

resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
before = state()
started = time.process_time(), os.times().children_user + os.times().children_system
results = suite.run()
ended = time.process_time(), os.times().children_user + os.times().children_system
after = state()
assert "unsupported" not in {result.outcome.value for result in results}, results
for what in before:
    assert before[what] == after[what], (what, before[what], after[what])
print(sum(ended) - sum(started))
"""
LEFT = "enforcer_check"


@pytest.mark.root
def test_checks_leave_nothing_behind_and_take_no_two_seconds() -> None:
    """Interfaces, rulesets, mounts, limits and descriptors are as they were."""
    done = python("-c", STATE_BEFORE_AND_AFTER, prefix=("unshare", "--net"))
    assert done.returncode == 0, done.stderr
    # Of processor time: others may want the processors meanwhile.
    assert float(done.stdout) < 2


@pytest.mark.root
def test_checks_leave_no_cgroup() -> None:
    """What was attached to the scratch cgroup went with it."""
    assert sock_ops.check().outcome is Outcome.SUPPORTED
    with Path("/proc/self/mountinfo").open() as mountinfo:
        root = cgroup2.usable(cgroup2.mounts(mountinfo.read()))
    assert root is not None
    assert not [each for each in Path(root).iterdir() if each.name.startswith(f"{LEFT}.")]


@pytest.mark.root
def test_checks_leave_no_bpf_objects() -> None:
    """No map or program of the checks outlives them; the kernel frees them a moment later."""
    kept = bpf_objects.new_map("enforcer_kept")
    assert "enforcer_kept" in bpf_objects.names()
    os.close(kept)
    for check in (bpf, maps, loops, tc, sock_ops, connect, seal):
        assert check.check().outcome is Outcome.SUPPORTED

    def gone() -> bool:
        return not any(name.startswith(LEFT) for name in bpf_objects.names())

    until(gone, 10, "BPF objects of the checks are freed")


@pytest.mark.root
def test_command_finds_this_machine_supported() -> None:
    """Where the rest of these tests can pass, the check must say that enforcer can work."""
    done = python("-c", COMMAND, "--json")
    report = json.loads(done.stdout)
    assert report["supported"] is True, done.stdout
    assert report["release"] == os.uname().release
    assert [check["id"] for check in report["checks"]] == [check.id for check in suite.CHECKS]
    assert done.returncode == 0
