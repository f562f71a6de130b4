"""What all commands have in common: where they look, and where they write."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

ENFORCER = Path(sysconfig.get_path("scripts"), "enforcer")
VARIABLE = "ENFORCER_RUNTIME_DIR"


@pytest.mark.parametrize(
    "arguments", [("policy", "schema"), ("--help",), ("--version",), ("policy", "--help")]
)
def test_a_reader_that_leaves_is_no_error_to_tell(arguments: tuple[str, ...]) -> None:
    """As with other tools: no words, and the status that a shell shows for SIGPIPE.

    It was 1, which of `status` means degraded.
    """
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        (ENFORCER, *arguments), stdout=write, stderr=subprocess.PIPE, check=False, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("before", "after", "variable", "used"),
    [
        ((), (), None, "/run/enforcer"),
        ((), (), "/v", "/v"),
        (("--runtime-dir", "/b"), (), None, "/b"),
        (("--runtime-dir", "/b"), (), "/v", "/b"),
        ((), ("--runtime-dir", "/a"), "/v", "/a"),
        (("--runtime-dir", "/b"), ("--runtime-dir", "/a"), "/v", "/a"),
    ],
)
def test_the_runtime_directory_is_named_before_or_after_the_command(
    before: tuple[str, ...], after: tuple[str, ...], variable: str | None, used: str
) -> None:
    """The nearest to the command counts, and the environment least."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {} if variable is None else {VARIABLE: variable}
    done = subprocess.run(
        (ENFORCER, *before, "reload", *after),
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 3
    assert f'no enforcer listens at "{used}/control.sock"' in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("policy", "schema"),
        ("policy", "validate", "/nowhere/policy.yaml"),
        ("policy", "show", "/nowhere/policy.yaml"),
        ("policy", "diff", "/nowhere/policy.yaml", "/nowhere/policy.yaml"),
        ("policy", "lint", "/nowhere/policy.yaml"),
    ],
)
def test_every_command_takes_a_runtime_directory(arguments: tuple[str, ...]) -> None:
    """Those that need no daemon, too: whoever calls them for an instance calls all alike."""
    without = subprocess.run((ENFORCER, *arguments), capture_output=True, check=False, text=True)
    done = subprocess.run(
        (ENFORCER, *arguments, "--runtime-dir", "/nowhere"),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (without.returncode, without.stderr)
    assert "No such option" not in done.stderr
