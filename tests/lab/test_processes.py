"""What /proc and the cgroup hierarchy tell of a process, and of one that has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.core.owners import UNIT, Owner, parse_owner
from enforcer.edge.processes import Process, cgroup_path, process
from tests.lab.cgroup import mount_point
from tests.lab.lab import Lab

pytestmark = pytest.mark.root


def test_a_process_is_described() -> None:
    """By its name, what it runs, and its cgroups."""
    found = process(os.getpid())
    assert found.name == Path("/proc/self/comm").read_text().rstrip("\n")
    assert found.executable == str(Path(sys.executable).resolve())
    assert found.cgroups == Path("/proc/self/cgroup").read_text()


def test_of_a_process_that_has_ended_nothing_is_known() -> None:
    """And that is no error: short ones have ended before anybody could look."""
    ended = subprocess.Popen(("true",))
    ended.wait()
    assert process(ended.pid) == Process("", "", "")


def test_a_process_that_nobody_has_reaped_still_belongs_to_its_removed_cgroup(lab: Lab) -> None:
    """As of a container that ended with it."""
    unit = lab.net.cgroup / "some.service"
    unit.mkdir()
    script = 'echo $$ >"$1/cgroup.procs"'
    ended = subprocess.Popen(("sh", "-c", script, "sh", unit))
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        unit.rmdir()
        assert parse_owner(process(ended.pid).cgroups) == Owner(UNIT, "some.service")
    finally:
        ended.wait()


def test_a_cgroup_is_found_by_its_id(lab: Lab) -> None:
    """As the programs note it: its process may be gone, its unit is not."""
    unit = lab.net.cgroup / "some.service"
    unit.mkdir()
    try:
        number = unit.stat().st_ino
        path = cgroup_path(number, mount_point())
        assert path == f"/{unit.relative_to(mount_point())}"
        assert parse_owner(f"0::{path}") == Owner(UNIT, "some.service")
    finally:
        unit.rmdir()
    assert cgroup_path(number, mount_point()) == ""


def test_where_no_cgroup_is_mounted_none_is_found(tmp_path: Path) -> None:
    """Nor where there is nothing at all."""
    assert cgroup_path(1, tmp_path) == ""
    assert cgroup_path(1, tmp_path / "nowhere") == ""
