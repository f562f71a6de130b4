"""The judgements of the kernel checks: texts and error numbers in, results out."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.kernel_checks import cgroup2, clsact, version, wsl
from enforcer.kernel_checks.confinement import Confinement, explain
from enforcer.kernel_checks.result import Outcome

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN_BANNER = "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12)\n"
WSL1_BANNER = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) #1-Microsoft\n"
WSL2_BANNER = "Linux version 5.15.54-microsoft-standard-WSL2 (oe-user@oe-host) #1 SMP\n"

ALL_CAPABILITIES = (1 << 41) - 1
CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF = 1 << 12, 1 << 21, 1 << 39


@pytest.mark.parametrize(
    "release",
    [
        "5.4",
        "5.4-rc1",
        "5.4.0-42-generic",
        "5.10.0-28-cloud-amd64",
        "5.15.54-microsoft-standard-WSL2",
        "6.18.44-fc-v669",
        "7.2.0-1-amd64",
        "10.0",
    ],
)
def test_gate_accepts_releases_from_5_4_on(release: str) -> None:
    """A release passes whatever a distribution appends to it, candidates included."""
    result = version.gate(release)
    assert result.outcome is Outcome.SUPPORTED
    assert release in result.detail


@pytest.mark.parametrize(
    "release",
    [
        "2.6.32-754.el6.x86_64",
        "2.6.60",
        "3.10.0-1160.el7.x86_64",
        "4.4.0-19041-Microsoft",
        "4.19.0-27-amd64",
        "5.3.18-lp152.106-default",
        "5.3",
    ],
)
def test_gate_refuses_older_releases_and_says_why(release: str) -> None:
    """The text names the release found, the one needed, the reason and the way out."""
    result = version.gate(release)
    assert result.outcome is Outcome.UNSUPPORTED
    assert f"Linux {release} found" in result.detail
    assert "5.4 or newer needed" in result.detail
    assert "bounded loops" in result.detail
    assert "perf output" in result.detail
    assert "5.4 or newer" in (result.remedy or "")


@pytest.mark.parametrize(
    "release", ["", "linux", "6", "6.", ".4", "v6.1", "6-1", "５.４", "9" * 5000 + ".1"]
)
def test_gate_can_not_judge_what_is_no_release(release: str) -> None:
    """Garbage is neither old nor new, and never an error."""
    assert version.gate(release).outcome is Outcome.INCONCLUSIVE


def test_gate_asks_the_running_kernel() -> None:
    """Without an argument the release is that of this kernel."""
    assert os.uname().release in version.gate().detail


@pytest.mark.parametrize(
    ("release", "banner", "run_wsl", "expected"),
    [
        ("6.1.0-18-amd64", DEBIAN_BANNER, "absent", 0),
        ("5.15.0-1041-azure", "Linux version 5.15.0-1041-azure (buildd@lcy02)\n", "absent", 0),
        ("6.1.0-18-amd64", None, "absent", 0),
        ("4.4.0-19041-Microsoft", WSL1_BANNER, "exists", 1),
        ("4.4.0-19041-Microsoft", WSL1_BANNER, "absent", 1),
        ("2.6.44-19041-Microsoft", WSL1_BANNER, "absent", 1),
        ("4.19.104-microsoft-standard", None, "absent", 2),
        ("5.15.54-microsoft-standard-WSL2", WSL2_BANNER, "exists", 2),
        ("5.15.54-microsoft-standard-WSL2", WSL2_BANNER, "absent", 2),
        ("2.6.75-54", WSL2_BANNER, "absent", 2),
        ("6.9.0-mine", "Linux version 6.9.0-mine (me@home)\n", "exists", 2),
        ("6.9.0-mine-WSL2", None, "absent", 2),
    ],
)
def test_platform_is_told_from_release_banner_and_run_wsl(
    tmp_path: Path, release: str, banner: str | None, run_wsl: str, expected: int
) -> None:
    """Any one of the three signs is enough, and an Azure kernel is no WSL."""
    proc_version, run = tmp_path / "version", tmp_path / "WSL"
    if banner is not None:
        proc_version.write_text(banner)
    if run_wsl == "exists":
        run.mkdir()
    assert wsl.detect(release, proc_version, run).wsl == expected


def test_wsl2_scope_names_everyone_restricted(tmp_path: Path) -> None:
    """All distributions share one kernel and network; Windows itself uses neither."""
    platform = wsl.detect("5.15.54-microsoft-standard-WSL2", tmp_path / "v", tmp_path / "w")
    for word in ("all WSL 2 distributions", "Docker Desktop", "one kernel", "one network"):
        assert word in platform.scope
    assert any("Windows" in note for note in platform.notes)
    assert wsl.judge(platform).outcome is Outcome.SUPPORTED


def test_wsl1_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    """WSL 1 has no Linux kernel to enforce with."""
    platform = wsl.detect("4.4.0-19041-Microsoft", tmp_path / "v", tmp_path / "w")
    result = wsl.judge(platform)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "wsl --set-version" in (result.remedy or "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw", "/sys/fs/cgroup"),
        ("29 23 0:26 / /unified rw shared:9 master:1 - cgroup2 none rw", "/unified"),
        ("29 23 0:26 / /unified rw - cgroup2 cgroup2 rw", "/unified"),
        (r"29 23 0:26 / /a\040b\134c rw - cgroup2 cgroup2 rw", r"/a b\c"),
    ],
)
def test_cgroup2_mounts_are_found(line: str, expected: str) -> None:
    """Optional fields come in any number, and paths are unescaped."""
    assert cgroup2.mounts(f"1 1 0:1 / / rw - ext4 /dev/vda rw\n{line}\n") == (expected,)


@pytest.mark.parametrize(
    "line",
    [
        "29 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
        "29 23 0:26 / /sys/fs/cgroup rw - tmpfs cgroup2 rw",
        "29 23 0:26 /docker/4f /sys/fs/cgroup rw - cgroup2 cgroup rw",
        "29 23 0:26 / /mnt/cgroup2 rw - ext4 cgroup2 rw",
        "",
        "cgroup2",
        " - cgroup2",
    ],
)
def test_other_mounts_are_no_cgroup2_root(line: str) -> None:
    """Hierarchies of v1, look-alike names, subtrees and malformed lines do not count."""
    assert cgroup2.mounts(line + "\n") == ()


def test_cgroup2_check_tells_where_it_is_mounted(tmp_path: Path) -> None:
    """The first that shows one counts; a path that is not UTF-8 does not break the report."""
    mountinfo, filesystems = tmp_path / "mountinfo", tmp_path / "filesystems"
    lines = b"28 23 0:26 / /over rw - cgroup2 cgroup2 rw\n29 23 0:26 / /cg\xff rw - cgroup2 a rw\n"
    mountinfo.write_bytes(lines)
    filesystems.write_text("nodev\tproc\nnodev\tcgroup2\n\text4\n")
    shown = tmp_path / os.fsdecode(b"cg\xff")
    for folder in (tmp_path / "over", shown):
        folder.mkdir()
    (shown / "cgroup.procs").write_text("")
    result = cgroup2.check(mountinfo, filesystems, tmp_path)
    assert (result.outcome, result.detail) == (Outcome.SUPPORTED, "mounted on /cg\\xff")


@pytest.mark.root
def test_cgroup2_need_not_be_mounted(tmp_path: Path) -> None:
    """That it can be is enough: enforcer mounts one of its own."""
    mountinfo, filesystems = tmp_path / "mountinfo", tmp_path / "filesystems"
    mountinfo.write_text("1 1 0:1 / / rw - ext4 /dev/vda rw\n")
    filesystems.write_text("nodev\tcgroup2\n")
    result = cgroup2.check(mountinfo, filesystems)
    assert result.outcome is Outcome.SUPPORTED
    assert "not mounted" in result.detail


def test_kernel_without_cgroup2_is_refused_by_option(tmp_path: Path) -> None:
    """Version 1 alone is not enough."""
    mountinfo, filesystems = tmp_path / "mountinfo", tmp_path / "filesystems"
    mountinfo.write_text("1 1 0:1 / /cg rw - cgroup cgroup rw\n")
    filesystems.write_text("nodev\tcgroup\n")
    result = cgroup2.check(mountinfo, filesystems)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "CONFIG_CGROUPS" in (result.remedy or "")


@pytest.mark.parametrize(
    ("code", "confinement", "outcome", "words"),
    [
        (errno.ENOSYS, (ALL_CAPABILITIES,), Outcome.UNSUPPORTED, "does not know"),
        (errno.EINVAL, (ALL_CAPABILITIES,), Outcome.UNSUPPORTED, "does not know"),
        (errno.ENOMEM, (ALL_CAPABILITIES,), Outcome.INCONCLUSIVE, "Cannot allocate"),
        (errno.EPERM, (0,), Outcome.INCONCLUSIVE, "CAP_BPF"),
        (errno.EPERM, (CAP_BPF,), Outcome.INCONCLUSIVE, "CAP_NET_ADMIN"),
        (errno.EPERM, (CAP_NET_ADMIN,), Outcome.INCONCLUSIVE, "CAP_BPF"),
        (errno.EPERM, (ALL_CAPABILITIES, True), Outcome.INCONCLUSIVE, "user namespace"),
        (errno.EPERM, (ALL_CAPABILITIES, False, True), Outcome.UNSUPPORTED, "seccomp"),
        (errno.EPERM, (CAP_SYS_ADMIN, False, True), Outcome.UNSUPPORTED, "seccomp"),
        (errno.EACCES, (CAP_BPF | CAP_NET_ADMIN, False, True), Outcome.UNSUPPORTED, "seccomp"),
        (
            errno.EPERM,
            (ALL_CAPABILITIES, False, False, "none [integrity] confidentiality"),
            Outcome.UNSUPPORTED,
            "lockdown is on",
        ),
        (
            errno.EPERM,
            (ALL_CAPABILITIES, False, False, "[none] integrity confidentiality"),
            Outcome.UNSUPPORTED,
            "security module",
        ),
    ],
)
def test_failures_of_bpf_are_explained(
    code: int, confinement: tuple[Any, ...], outcome: Outcome, words: str
) -> None:
    """Missing privilege says nothing of the kernel; what also holds root back does."""
    defaults: tuple[Any, ...] = (0, False, False, "")
    confined = Confinement(*confinement, *defaults[len(confinement) :])
    error = OSError(code, os.strerror(code))
    result = explain("bpf", "a hash map", error, confined, "CONFIG_BPF_SYSCALL=y")
    assert result.outcome is outcome
    assert words in result.detail
    assert result.detail.startswith("a hash map: ")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0, Outcome.SUPPORTED),
        (errno.ENOENT, Outcome.UNSUPPORTED),
        (errno.EOPNOTSUPP, Outcome.UNSUPPORTED),
        (errno.EPERM, Outcome.INCONCLUSIVE),
        (errno.ENOBUFS, Outcome.INCONCLUSIVE),
    ],
)
def test_answers_to_the_clsact_request_are_judged(code: int, outcome: Outcome) -> None:
    """Only what says that there is no such discipline is a no."""
    result = clsact.judge(code)
    assert result.outcome is outcome
    if outcome is Outcome.UNSUPPORTED:
        assert "CONFIG_NET_SCH_INGRESS" in (result.remedy or "")
