"""What a running daemon may do: less than what started it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enforcer.edge.privileges import (
    CAP_BPF,
    CAP_DAC_READ_SEARCH,
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
)
from enforcer.edge.scheduling import may_come_back
from tests.lab.daemon import Enforcer, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab

pytestmark = pytest.mark.root

_UNIT = Path(__file__).parents[2] / "systemd/enforcer.service"
_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def threads(enforcer: Enforcer) -> list[dict[str, str]]:
    """Return what the kernel tells of each thread of the daemon."""
    tasks = Path(f"/proc/{enforcer.process.pid}/task").glob("*/status")
    return [dict(line.split(":\t", 1) for line in task.read_text().splitlines()) for task in tasks]


def test_what_the_unit_leaves_is_enough(lab: Lab, policy: str) -> None:
    """Without CAP_DAC_OVERRIDE nothing was proved: the root of cgroup v2 is read-only for root too.

    The service was never healthy, and every daemon that root started by hand was.
    """
    lines = re.findall(r"^CapabilityBoundingSet=(.*)$", _UNIT.read_text(), re.MULTILINE)
    names = [name.removeprefix("CAP_").lower() for line in lines for name in line.split()]
    known = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    given = [f"+{name}" for name in names if name not in {"bpf", "perfmon"} or known >= CAP_BPF]
    with running(lab.net, policy, prefix=("setpriv", f"--bounding-set=-all,{','.join(given)}")) as (
        enforcer
    ):
        assert enforcer.status()["problems"] == []
        assert enforcer.status()["healthy"]


def test_a_running_daemon_gave_up_what_only_the_start_needs(lab: Lab, policy: str) -> None:
    """In every thread, for good: not even a program that it starts gets more.

    With the rest it could load modules, mount, and write any file.
    """
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.put_in_force(policy)
        assert enforcer.status()["healthy"]
        needed = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH}
        if not may_come_back():
            needed.add(CAP_SYS_NICE)
        found = threads(enforcer)
        assert len(found) > 2
        for thread in found:
            kept = {name: int(thread[name], 16) for name in _SETS}
            both = sum(1 << capability for capability in needed)
            assert kept == {"CapInh": 0, "CapPrm": both, "CapEff": both, "CapAmb": 0}
            assert thread["NoNewPrivs"].strip() == "1"
        # What is left is enough to take everything away again.
        assert enforcer.stop() == 0
        assert footprint(lab.net) == before
