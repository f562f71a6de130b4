"""File systems that are not mounted, files that are not there: in the lab's mount namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.kernel_checks.cgroup2 import mounts
from tests.lab.daemon import Enforcer, NotStarted, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.test_repair import REPAIRED_WITHIN_S, is_closed
from tests.lab.wait import until

pytestmark = pytest.mark.root


def test_a_cgroup_that_is_unmounted_is_told_and_survived(lab: Lab, policy: str) -> None:
    """What it concerns is told; the table is still looked after, and it heals.

    One look at everything ended with the cgroup: what somebody had deleted stayed so.
    """
    host = lab.net.host
    root = Path(mounts(Path("/proc/self/mountinfo").read_text())[0])
    mounted = lab.net.directory / "cgroup2"
    mounted.mkdir()
    host.run("mount", "-t", "cgroup2", "none", mounted)
    enforcer = Enforcer(lab.net, policy)
    enforcer.start("--cgroup", str(mounted / lab.net.cgroup.relative_to(root)))
    try:
        assert enforcer.status()["healthy"]

        def unmounted() -> bool:  # unless the daemon looks into it right now
            return host.run("umount", mounted, check=False).returncode == 0

        until(unmounted, REPAIRED_WITHIN_S, "the cgroup to be nobody's")

        def told() -> bool:
            texts = [problem["text"] for problem in enforcer.status()["problems"]]
            return any(f'cgroup "{mounted}' in text for text in texts)

        until(told, REPAIRED_WITHIN_S, "status to tell")
        host.nft("delete table inet enforcer")
        until(lambda: is_closed(lab), REPAIRED_WITHIN_S, "the table")
        host.run("mount", "-t", "cgroup2", "none", mounted)
        until(lambda: bool(enforcer.status()["healthy"]), REPAIRED_WITHIN_S, "health")
        assert enforcer.stop() == 0
    finally:
        enforcer.kill()
    assert "Traceback" not in enforcer.log


def test_a_cgroup_that_is_not_there_is_one_clear_error(lab: Lab, policy: str) -> None:
    """Nothing is left in the kernel by the start that failed."""
    before = footprint(lab.net)
    enforcer = Enforcer(lab.net, policy)
    with pytest.raises(NotStarted, match='cgroup "/nonexistent"') as refused:
        enforcer.start("--cgroup", "/nonexistent")
    assert refused.value.status == 1
    assert "name a cgroup v2 directory" in refused.value.stderr
    assert "Traceback" not in refused.value.stderr
    assert footprint(lab.net) == before


def test_nothing_needs_the_file_system_of_bpf(lab: Lab, policy: str) -> None:
    """What is attached keeps itself: a machine without bpffs enforces, and after a crash too."""
    lab.net.host.run("umount", "/sys/fs/bpf")
    with running(lab.net, policy) as enforcer:
        assert enforcer.status()["healthy"]
        assert is_closed(lab)
        enforcer.kill()
        assert is_closed(lab)
        enforcer.start()
        assert enforcer.status()["healthy"]


def test_names_of_protocols_are_not_needed(lab: Lab, policy: str) -> None:
    """Debian has them in a package of its own, which a small machine lacks.

    nft found no protocol of the name "ipv6-icmp", and nothing was enforced.
    """
    for name in ("protocols", "services"):
        if (path := Path("/etc", name)).exists():
            lab.net.host.run("mount", "--bind", "/dev/null", path)
    with running(lab.net, policy) as enforcer:
        assert enforcer.status()["healthy"]
        assert is_closed(lab)
