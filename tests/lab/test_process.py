"""The daemon's process: what it holds, and what it starts and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import cgroup
from tests.lab.daemon import Enforcer, NotStarted
from tests.lab.lab import Lab

pytestmark = pytest.mark.root

# Half of what a compiler in the process weighs alone; some 45 MB were measured.
MOST_RESIDENT_KB = 100_000


def compilers(lab: Lab) -> list[str]:
    """Return the command lines of the compilers that run in *lab*."""
    found = []
    for pid in cgroup.processes(lab.net.cgroup):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):  # gone since it was listed
            continue
        if "enforcer.edge.compiler" in words:
            found.append(" ".join(words))
    return found


def test_the_daemon_holds_no_compiler(enforcer: Enforcer, shared_lab: Lab) -> None:
    """LLVM came and went with the process that loaded the programs."""
    process = Path("/proc") / str(enforcer.process.pid)
    mapped = (process / "maps").read_text()
    assert "/python" in mapped
    assert "LLVM" not in mapped
    assert "libbcc" not in mapped
    assert b"BCC_KERNEL_SOURCE" not in (process / "environ").read_bytes()
    assert compilers(shared_lab) == []
    assert "".join(each.read_text() for each in process.glob("task/*/children")) == ""


def test_the_daemon_is_light(enforcer: Enforcer) -> None:
    """A guard against a library that comes back: the bound is far above what is measured."""
    status = Path(f"/proc/{enforcer.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert int(fields["VmHWM"].split()[0]) < MOST_RESIDENT_KB


def test_a_bad_policy_leaves_no_compiler(lab: Lab) -> None:
    """The compiler has begun when the policy is found to be bad: it ends with the start."""
    daemon = Enforcer(lab.net, "hosts: [")
    with pytest.raises(NotStarted) as refused:
        daemon.start()
    assert refused.value.status == 2
    assert compilers(lab) == []
