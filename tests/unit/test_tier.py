"""The tier: what it is called with what a kernel lacks, and what it says is worse."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from enforcer.kernel_checks import report, suite
from enforcer.kernel_checks.result import Outcome, Result
from enforcer.kernel_checks.suite import Findings
from enforcer.kernel_checks.tier import tier
from enforcer.kernel_checks.wsl import Platform

HERE = Platform(wsl=0, scope="this machine", notes=())
ALL = {"nft-ct", "nft-ct-label", "nft-reject", "nft-log", "nft-counter"}


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        (set(), "full"),
        ({"bpf-connect", "sock-destroy"}, "full"),
        ({"nft-ct"}, "stateless"),
        ({"nft-ct", "nft-ct-label"}, "stateless"),
        ({"nft-ct-label"}, "unlabelled"),
        ({"nft-reject"}, "silent"),
        ({"nft-log"}, "unlogged"),
        ({"nft-counter"}, "uncounted"),
        (ALL, "stateless+silent+unlogged+uncounted"),
    ],
)
def test_a_tier_is_named_for_what_is_missing(missing: set[str], name: str) -> None:
    """Each lack has its word and its line; where there is none the tier is full."""
    found = tier(missing)
    assert found.name == name
    assert [line.split(":")[0] for line in found.worse] == (
        [] if name == "full" else name.split("+")
    )


@pytest.mark.parametrize(
    ("missing", "said", "unsaid"),
    [
        ({"nft-reject"}, "EPERM", "instead of failing"),
        ({"nft-reject", "bpf-connect"}, "time out instead of failing at once", "EPERM"),
        ({"nft-ct"}, "end on this machine, and go on in containers", "by themselves"),
        ({"nft-ct", "sock-destroy"}, "go on until they end by themselves", "in containers"),
        ({"nft-log"}, "own TCP only", "not at all"),
        ({"nft-log", "bpf-connect"}, "not at all", "TCP"),
    ],
)
def test_a_tier_says_what_else_helps(missing: set[str], said: str, unsaid: str) -> None:
    """Whether connections are judged as they begin, or ended, depends on other things."""
    (line,) = tier(missing).worse
    assert said in line
    assert unsaid not in line


def test_the_report_has_the_tier_of_a_machine_that_can_enforce() -> None:
    """With what is worse; one that can't has none."""
    poor = Result("nft-reject", Outcome.UNSUPPORTED, "no expression reject")
    bad = Result("nftables", Outcome.UNSUPPORTED, "no nft")
    text = report.as_text(Findings("6.1.0", HERE, (poor,)), report.Style())
    assert "\ntier: silent\nnote: silent: a connection of this machine that is refused" in text
    assert "tier" not in report.as_text(Findings("6.1.0", HERE, (poor, bad)), report.Style())


def test_what_is_hidden_is_not_looked_for() -> None:
    """It counts as missing, whatever the machine has."""

    def broken() -> Result:
        raise AssertionError

    checks = (suite.Check("nft-log", broken, required=False),)
    (result,) = suite.run(checks, hidden={"nft-log"})
    assert (result.id, result.outcome) == ("nft-log", Outcome.UNSUPPORTED)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--hide", "nft-ct"), "--hide is for tests and takes --for-tests"),
        (("--for-tests", "--hide", "nft-cat"), 'no check "nft-cat" to hide'),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_nothing_is_hidden_by_mistake(command: str, options: tuple[str, ...], said: str) -> None:
    """It takes a second option, and a check that exists."""
    enforcer = str(Path(sysconfig.get_path("scripts"), "enforcer"))
    done = subprocess.run(
        [enforcer, command, *options], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_a_hidden_need_is_a_refusal() -> None:
    """`check` says so as it would of a kernel without."""
    enforcer = str(Path(sysconfig.get_path("scripts"), "enforcer"))
    argv = [enforcer, "check", "--for-tests", "--hide", "clsact"]
    done = subprocess.run(argv, capture_output=True, check=False, text=True)
    assert done.returncode == 4
    assert "enforcer can't work here as it is: clsact missing" in done.stdout
