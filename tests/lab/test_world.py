"""The machine misbehaves: what is permitted goes on, nothing else does, and it ends by itself."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.core.promises import UNKNOWN_HOST
from enforcer.edge.client import request
from tests.lab.asking import ask_both, is_open
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connect
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

RECOVERED_WITHIN_S = 20
DAY_S = 86_400


def enforces(lab: Lab, label: str) -> bool:
    """Tell whether what is permitted opens, never seen before, and the rest does not."""
    made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=20, label=label)
    denied = {connect(lab.net.host, each) for each in DENIED.addresses}
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
