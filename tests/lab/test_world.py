"""The machine misbehaves: what is permitted goes on, nothing else does, and it ends by itself."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.core.promises import UNKNOWN_HOST
from enforcer.edge.client import request
from tests.lab.asking import ask_both, await_held, held, is_open
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connect
from tests.lab.lab import Lab
from tests.lab.memory import no_more
from tests.lab.patience import PATIENCE
from tests.lab.registry import DENIED
from tests.lab.tier import refusal
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

RECOVERED_WITHIN_S = 20
# On a machine that is busy otherwise, too: the daemon is nicer than those that keep it so.
ANSWERED_WITHIN_S = 60
DAY_S = 86_400
MEGABYTE = 1 << 20


def enforces(lab: Lab, label: str) -> bool:
    """Tell whether what is permitted opens, never seen before, and the rest does not."""
    made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=20, label=label)
    denied = {refusal(connect(lab.net.host, each)) for each in DENIED.addresses}
    return (made.ok, made.refused, denied) == (20, 0, {"ECONNREFUSED"})


def test_no_descriptor_is_left(shared_lab: Lab, enforcer: Enforcer) -> None:
    """The kernel goes on; nobody is answered, and that ends with the shortage."""
    pid = enforcer.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        assert enforces(shared_lab, "descriptors")
        enforcer.cli("status", check=False)
        # A look that needs nft, which it can't start.
        shared_lab.net.host.nft("delete chain inet enforcer output")
        until(lambda: "Too many open files" in enforcer.log, RECOVERED_WITHIN_S, "word of it")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    until(lambda: enforcer.status()["healthy"], RECOVERED_WITHIN_S, "health")
    assert enforces(shared_lab, "afterwards")
    assert enforcer.process.poll() is None


def test_a_policy_for_which_no_descriptor_is_left(lab: Lab, policy: str) -> None:
    """It is put in force once there is one: the file is not to blame."""
    with running(lab.net, policy) as enforcer:
        pid = enforcer.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        enforcer.policy_file.write_text(f"{policy}mode: audit\n")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        try:
            os.kill(pid, signal.SIGHUP)
            until(lambda: "it is tried again" in enforcer.log, RECOVERED_WITHIN_S, "word of it")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: enforcer.status()["mode"] == "audit", RECOVERED_WITHIN_S, "the policy")


@contextlib.contextmanager
def busy_processors() -> Iterator[None]:
    """Have three processes want each processor until the block ends."""
    with contextlib.ExitStack() as stack:
        for _ in range(3 * len(os.sched_getaffinity(0))):
            argv = (sys.executable, "-c", "print(flush=True)\nwhile True: pass")
            process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
        yield


def test_every_processor_is_busy(shared_lab: Lab, enforcer: Enforcer) -> None:
    """What is permitted opens all the same, nothing else does, and status is answered."""
    with busy_processors():
        assert enforces(shared_lab, "busy")
        asked = time.monotonic()
        assert enforcer.status()["enforcing"]
        assert time.monotonic() - asked < ANSWERED_WITHIN_S * PATIENCE
        # Work that takes it another process.
        shared_lab.net.host.nft("delete chain inet enforcer output")
        until(lambda: enforces(shared_lab, "repaired"), ANSWERED_WITHIN_S, "the table")
    until(lambda: enforcer.status()["healthy"], RECOVERED_WITHIN_S, "health")


def test_no_memory_is_left(lab: Lab, policy: str) -> None:
    """As under MemoryMax= of its unit: the kernel ends the daemon, and goes on without it.

    The next one goes on with what was open.
    """
    name, host = f"kept.{FRESH_ZONE}", lab.net.host
    with running(lab.net, policy) as enforcer:
        addresses = ask_both(host, RESOLVERS[0], name)
        await_held(enforcer, name, *addresses)
        group = f"{lab.net.directory.name}-limited"
        with no_more(enforcer.process.pid, group, MEGABYTE) as events:
            long = "".join(f"  - host{number}.long.test\n" for number in range(50_000))
            enforcer.policy_file.write_text(policy + long)
            os.kill(enforcer.process.pid, signal.SIGHUP)
            assert enforcer.process.wait(RECOVERED_WITHIN_S * PATIENCE) == -signal.SIGKILL
            assert "oom_kill 1" in events.read_text().splitlines()
        assert enforces(lab, "without")
        assert all(is_open(host, each) for each in addresses)
        enforcer.policy_file.write_text(policy)
        enforcer.start()
        assert {each["learned"][0] for each in held(enforcer, name).values()} == {"earlier"}
        assert enforces(lab, "again")
        assert enforcer.status()["healthy"]


@contextlib.contextmanager
def time_namespace(ahead_s: int) -> Iterator[tuple[str, ...]]:
    """Yield what runs a command where CLOCK_MONOTONIC is *ahead_s* ahead of the kernel's."""
    with subprocess.Popen(
        ("unshare", "--time", f"--monotonic={ahead_s}", "sh", "-c", "echo made; read _"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "made\n"
        try:
            yield ("nsenter", f"--time=/proc/{holder.pid}/ns/time_for_children")
        finally:
            holder.kill()


@pytest.mark.parametrize("ahead_s", [DAY_S, -60])
def test_a_clock_that_is_not_the_kernels(lab: Lab, policy: str, ahead_s: int) -> None:
    """In a time namespace: what the kernel learned is gone on with, and for no longer.

    A day ahead nothing of it was, as if all had ended; behind, it was open for longer.
    """
    name = f"unseen.{FRESH_ZONE}"
    with time_namespace(ahead_s) as prefix, running(lab.net, policy, prefix=prefix) as enforcer:
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        enforcer.kill()
        addresses = ask_both(lab.net.host, RESOLVERS[0], name)
        enforcer.start()
        assert all(is_open(lab.net.host, each) for each in addresses)
        hosts = request("GET", enforcer.runtime_dir / "control.sock", "/hosts")["hosts"]
        shown = {
            each["address"]: each
            for entry in hosts
            if entry["host"] == UNKNOWN_HOST
            for each in entry["addresses"]
        }
        assert shown.keys() == set(addresses)
        passed = time.clock_gettime(time.CLOCK_MONOTONIC) - before
        for each in shown.values():
            # A TTL of 300 s and a grace of as many.
            assert 600 - passed - 2 <= each["expires_s"] <= 600
