"""What `./dev vm` boots, runs and reports; the virtual machines themselves are left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.vm.guest import Disks, Ran, run
from tests.vm.job import CHECKOUT
from tests.vm.kernels import BadKernel, Kernel, of_file
from tests.vm.report import Report, render
from tests.vm.service import in_words
from tests.vm.suite import GROUPS

RAN = Ran(release="6.1.0-9-cloud-amd64", boot_s=3.4, status=0, took_s=300.0, cpu_s=150.0)
KERNEL = Kernel("6.1", "6.1.192-2", Path("image"), Path("initramfs"), None)


def _group(**failed: str) -> dict[str, object]:
    return {"status": int(bool(failed)), "took_s": 9.7, "passed": {"t": 1.0}, "failed": failed}


def _report(ran: Ran, tmp_path: Path, found: object = None) -> Report:
    inside = tmp_path / "report.json"
    if found is not None:
        inside.write_text(json.dumps(found), encoding="utf-8")
    return Report.of(KERNEL, ran, inside)


def test_every_test_of_the_core_exists() -> None:
    """One that is renamed, or has other parameters, took its group with it on other kernels."""
    core = [test for group in GROUPS.values() for test in group]
    collect = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    done = subprocess.run(
        (*collect, *core), check=False, capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stdout


def test_what_passed_is_a_row(tmp_path: Path) -> None:
    """Release, boot, checks, tests of each group, time: a line of Markdown a kernel."""
    checks = {"status": 0, "took_s": 4.1, "report": {"checks": []}}
    report = _report(RAN, tmp_path, {"checks": checks, "groups": {"bpf": _group()}})
    assert report.passed
    lines = render([report]).splitlines()
    assert lines[0].startswith("| kernel | boot | checks | bpf |")
    assert lines[2].startswith("| 6.1.0-9-cloud-amd64 | 3.4 s | ok, 4 s | 1/1, 10 s | - |")
    assert lines[2].endswith("| 5.0 min, 2.5 of a processor |")
    assert len(lines) == 3


def test_what_failed_is_named(tmp_path: Path) -> None:
    """A test that failed and a check that found something missing are told below the table."""
    missing = {"id": "nft-log", "outcome": "unsupported"}
    checks = {"status": 0, "took_s": 4.1, "report": {"checks": [missing]}}
    found = {"checks": checks, "groups": {"kill": _group(test_a="assert 1 == 2\nmore")}}
    report = _report(replace(RAN, status=1), tmp_path, found)
    assert not report.passed
    text = render([report])
    assert "6.1.0-9-cloud-amd64 lacks nft-log" in text
    assert "FAILED on 6.1.0-9-cloud-amd64: test_a\n  assert 1 == 2\n" in f"{text}\n"


def test_a_group_that_did_not_run_is_named(tmp_path: Path) -> None:
    """Without one test that failed, nothing told why the whole had."""
    group = {**_group(), "status": 4, "passed": {}}
    text = render([_report(replace(RAN, status=1), tmp_path, {"groups": {"bypasses": group}})])
    assert "FAILED on 6.1.0-9-cloud-amd64: bypasses\n  pytest ended with 4" in text


@pytest.mark.parametrize(
    ("ran", "told"),
    [
        (Ran(None, None, None, 9.0, 9.0), "did not boot"),
        (replace(RAN, status=None), "6.1.0-9-cloud-amd64"),
    ],
    ids=["no boot", "no end"],
)
def test_a_guest_that_ends_early_has_not_passed(ran: Ran, told: str, tmp_path: Path) -> None:
    """Without a word from inside there is a row, and no success."""
    report = _report(ran, tmp_path)
    assert not report.passed
    assert told in render([report])


def _image(path: Path, version: bytes) -> Path:
    """Write what is read of a bzImage."""
    header = bytearray(0x1000)
    header[0x202:0x206] = b"HdrS"
    header[0x20E:0x210] = (0x400).to_bytes(2, "little")
    header[0x600 : 0x600 + len(version)] = version
    path.write_bytes(header)
    return path


def test_a_kernel_of_ones_own_needs_its_own_modules(tmp_path: Path) -> None:
    """Those of another release would not load: said before anything boots."""
    image = _image(tmp_path / "bzImage", b"5.4.273 (somebody@somewhere) #1 SMP")
    with pytest.raises(BadKernel, match=r"not those of .*, 5\.4\.273 .*lib/modules/5\.4\.273"):
        of_file(image, tmp_path / "6.1.0", tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(4096)])
def test_what_is_no_kernel_is_refused(content: bytes, tmp_path: Path) -> None:
    """An empty file, a vmlinux: neither boots."""
    image = tmp_path / "vmlinux"
    image.write_bytes(content)
    with pytest.raises(BadKernel, match="no bzImage"):
        of_file(image, None, tmp_path / "cache")


def test_a_kernel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its path and what the system says."""
    with pytest.raises(BadKernel, match=r"kernel .*/missing: No such file"):
        of_file(tmp_path / "missing", None, tmp_path / "cache")


def test_the_readme_has_what_the_vagrantfile_takes_from_it() -> None:
    """Its commands install machines; they are found by the words above and by `policy init`."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = re.search(
        r"^Elsewhere, and from a checkout:\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL
    )
    assert section is not None
    commands = re.findall(r"^    (\S.*)$", section[1], re.MULTILINE)
    assert len([command for command in commands if "policy init" in command]) == 1
    assert any("systemctl enable --now enforcer" in command for command in commands)
    # Of the package, which machines do not have.
    assert not any("./dev" in command or "dist/" in command for command in commands)


_QEMU = """#!/bin/sh
# Stands in for qemu: says what a guest says, and leaves what one leaves on the third disk.
echo "begin: Linux 6.1.0 at 3.40 s"
echo "begin: exit status 0"
results=$(echo "$*" | sed 's/.*file=\\([^,]*results.disk\\).*/\\1/')
cd "$(mktemp -d)" && echo '{"groups": {}}' >report.json && tar -cf "$results" .
"""


def test_what_did_not_hold_of_the_service_is_named() -> None:
    """What a scenario says becomes one line, and one more for each thing that did not hold."""
    found = {**asdict(RAN), "version": "6.1.192-2", "held": ["open", "closed"], "failed": ["off"]}
    text = in_words({**found, "status": 1})
    assert "service on 6.1.0-9-cloud-amd64: 2 of 3 hold, 5.0 min" in text
    assert "FAILED as a service: off" in text
    assert "did not come to its end" in in_words({**found, "status": None})
    assert "did not boot" in in_words({**found, "release": None})


@pytest.mark.root
def test_what_a_guest_leaves_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its release, the job's exit status, its report, and the processor time it took."""
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(_QEMU, encoding="utf-8")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said: list[str] = []
    ran = run(KERNEL, Disks(tmp_path / "root", tmp_path / "job"), tmp_path, 60, said.append)
    assert (ran.release, ran.boot_s, ran.status) == ("6.1.0", 3.4, 0)
    assert ran.cpu_s > 0
    assert json.loads((tmp_path / "results/report.json").read_text()) == {"groups": {}}
    assert said[-1] == "begin: exit status 0"
