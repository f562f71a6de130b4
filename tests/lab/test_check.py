"""The kernel checks on this machine: what they find and what they leave."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from enforcer.kernel_checks import bpf, cgroup2, clsact, nftables, scratch, suite, version
from enforcer.kernel_checks.result import Outcome, Result
from tests.lab import bpf_objects
from tests.lab.wait import until

if TYPE_CHECKING:
    from types import ModuleType

PROBES = [bpf, cgroup2, clsact, nftables]
PRIVILEGED = [bpf, clsact, nftables]
COMMAND = "from enforcer.cli.check import check; check()"
NOBODY = 65534


def python(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, outside of the checkout."""
    command = [*prefix, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, cwd="/")


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
    code = "from enforcer.kernel_checks import bpf; print(*vars(bpf.check()).values(), sep='|')"
    done = python("-c", code, prefix=("unshare", "--user", "--map-root-user"))
    assert "INCONCLUSIVE" in done.stdout, done.stderr
    assert "user namespace" in done.stdout


@pytest.mark.root
def test_bpf_refused_by_seccomp_is_told_apart() -> None:
    """Docker's default profile does this to a container's root."""

    def filtered() -> Result:
        _forbid_bpf()
        return bpf.check()

    result = scratch.in_child("bpf", filtered)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "seccomp" in result.detail


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
import os, pathlib, resource, subprocess
from enforcer.kernel_checks import suite

def state():
    def output(*command):
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {
        "qdiscs": output("tc", "qdisc", "show"),
        "ruleset": output("nft", "list", "ruleset"),
        "interfaces": output("ip", "-details", "address"),
        "network namespace": os.readlink("/proc/self/ns/net"),
        "mounts": pathlib.Path("/proc/self/mountinfo").read_text(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "children": pathlib.Path("/proc/thread-self/children").read_text(),
        "limit": resource.getrlimit(resource.RLIMIT_MEMLOCK),
        "directory": os.getcwd(),
    }

resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
before = state()
results = suite.run()
after = state()
assert "unsupported" not in {result.outcome.value for result in results}, results
for what in before:
    assert before[what] == after[what], (what, before[what], after[what])
"""


@pytest.mark.root
def test_checks_leave_nothing_behind() -> None:
    """Interfaces, rulesets, mounts, limits and descriptors are as they were."""
    done = python("-c", STATE_BEFORE_AND_AFTER, prefix=("unshare", "--net"))
    assert done.returncode == 0, done.stderr


@pytest.mark.root
def test_checks_leave_no_bpf_objects() -> None:
    """No map or program of the checks outlives them; the kernel frees them a moment later."""
    kept = bpf_objects.new_map("enforcer_kept")
    assert "enforcer_kept" in bpf_objects.names()
    os.close(kept)
    assert bpf.check().outcome is Outcome.SUPPORTED

    def gone() -> bool:
        return not any(name.startswith("enforcer_check") for name in bpf_objects.names())

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
