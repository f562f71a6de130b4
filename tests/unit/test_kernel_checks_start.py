"""How the kernel checks are started, and what they must not need for it."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.kernel_checks import suite

CHECKOUT = Path(__file__).parents[2]
COMMAND = "from enforcer.cli.check import check; check()"
# Under it the kernel calls itself 2.6 (personality(2)).
ON_LINUX_2_6 = ("setarch", platform.machine(), "--uname-2.6")


def python(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, outside of the checkout."""
    command = [*prefix, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, cwd="/")


@pytest.mark.parametrize("start", [("-m", "enforcer.kernel_checks"), ("-c", COMMAND)])
def test_kernel_below_5_4_is_refused(start: tuple[str, ...]) -> None:
    """Exit 4, naming the release found, the one needed and why."""
    done = python(*start, prefix=ON_LINUX_2_6)
    words = " ".join(done.stdout.split())
    assert done.returncode == 4, done.stderr
    assert "unsupported version Linux 2.6." in words
    assert "found, 5.4 or newer needed: bounded loops in BPF came with 5.3" in words
    assert "can't work here as it is: version missing" in words


@pytest.mark.parametrize("prefix", [(), ON_LINUX_2_6], ids=["this kernel", "2.6"])
def test_check_imports_neither_bcc_nor_pyroute2(prefix: tuple[str, ...]) -> None:
    """On a kernel that can't run them, importing them could fail before the gate speaks."""
    code = (
        "import sys\n"
        "from enforcer.cli.check import check\n"
        "check(standalone_mode=False)\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'bcc', 'pyroute2'})\n"
    )
    done = python("-c", code, prefix=prefix)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_checks_import_the_standard_library_alone() -> None:
    """Neither the rest of enforcer nor anything that must be installed first."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from enforcer.kernel_checks import report, suite\n"
        "suite.examine()\n"
        "for name in sorted(set(sys.modules) - before):\n"
        "    if name.partition('.')[0] not in sys.stdlib_module_names:\n"
        "        print(name)\n"
    )
    done = python("-c", code)
    names = set(done.stdout.split())
    assert "enforcer.kernel_checks.suite" in names, done.stderr
    assert {name for name in names if not name.startswith("enforcer.kernel_checks")} == {"enforcer"}


@pytest.mark.parametrize("flags", [("-I", "-S"), ("-S", "-E")])
def test_folder_alone_is_enough(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """No package, no environment, any directory: only what the checks miss is missing."""
    folder = tmp_path / "kernel-checks"
    shutil.copytree(
        CHECKOUT / "kernel-checks", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    command = ["/usr/bin/python3", *flags, str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd="/", env={})
    assert done.returncode == 4, done.stderr
    checks = {check["id"]: check for check in json.loads(done.stdout)["checks"]}
    assert set(checks) == {check.id for check in suite.CHECKS}
    refused = {name for name, check in checks.items() if check["outcome"] == "unsupported"}
    assert refused == {"bcc"}
    # The folder's own bcc.py must not pass for a module of that name.
    assert checks["bcc"]["detail"] == "no module bcc for /usr/bin/python3"


@pytest.mark.parametrize("option", ["--jsno", "extra"])
def test_unknown_arguments_are_refused(option: str) -> None:
    """A mistyped option must not pass for a report."""
    done = python(str(CHECKOUT / "kernel-checks"), option)
    assert done.returncode == 2
    assert done.stdout == ""
