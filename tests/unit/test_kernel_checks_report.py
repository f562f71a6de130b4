"""What the kernel checks say together: the suite, the children, the report."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.kernel_checks import report, scratch, suite
from enforcer.kernel_checks.result import Outcome, Result
from enforcer.kernel_checks.tier import tier
from enforcer.kernel_checks.wsl import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

GOOD = Result("version", Outcome.SUPPORTED, "Linux 6.1.0, needed 5.4 or newer")
BAD = Result("nftables", Outcome.UNSUPPORTED, "no sets with timeouts", "use another one")
POOR = Result("nft-ct", Outcome.UNSUPPORTED, "no expression ct", "use another one")
UNKNOWN = Result("bpf", Outcome.INCONCLUSIVE, "could not be tested", "run the check as root")
WORDY = Result("platform", Outcome.UNSUPPORTED, "many words " * 40 + "x" * 200, "do this " * 40)
WSL2 = Platform(2, "all WSL 2 distributions", ("programs of Windows are not restricted",))

STYLES = [
    report.Style(signs=signs, colour=colour) for signs in (False, True) for colour in (False, True)
]


def findings(*results: Result) -> suite.Findings:
    """Return findings of these results on WSL 2."""
    return suite.Findings("6.1.0", WSL2, results)


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """A real terminal to write to."""
    controller, user = os.openpty()
    with open(user, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor has no path
        yield stream
    os.close(controller)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((GOOD,), 0),
        ((GOOD, UNKNOWN), 0),
        ((GOOD, POOR), 0),
        ((GOOD, BAD), 4),
        ((BAD, GOOD, UNKNOWN), 4),
    ],
)
def test_one_unsupported_check_that_is_required_is_enough(
    results: tuple[Result, ...], code: int
) -> None:
    """What can't be tested is no reason to refuse; what is missing is."""
    assert findings(*results).supported is (code == 0)
    assert findings(*results).exit_code == code
    assert (BAD in findings(*results).refusing) is (code == 4)
    assert POOR not in findings(*results).refusing


def test_a_tier_that_was_not_tested_is_not_told() -> None:
    """Another user's check said that it is full, of a kernel that it had not tried."""
    untested = Result("nft-ct", Outcome.INCONCLUSIVE, "not tried without nftables")
    text = report.as_text(findings(GOOD, untested), report.Style())
    assert "tier: not known" in text
    assert json.loads(report.as_json(findings(GOOD, untested)))["tier"]["known"] is False
    assert "tier: full" in report.as_text(findings(GOOD, UNKNOWN), report.Style())
    assert json.loads(report.as_json(findings(GOOD)))["tier"]["known"] is True


def test_details_stand_in_one_column_however_long_a_name_is() -> None:
    """`nft-ct-label` was longer than its column, and its line a character further right."""
    labels = Result("nft-ct-label", Outcome.SUPPORTED, "expression ct label")
    text = report.as_text(findings(GOOD, labels), report.Style())
    found = [
        line.index(detail)
        for line in text.splitlines()
        for detail in ("Linux 6.1.0, n", "expression")
        if detail in line
    ]
    assert found == [26, 26]


def test_every_check_is_run_and_named_as_its_result() -> None:
    """The report has one line a check, under the check's own name, in the suite's order."""
    results = suite.run()
    assert [result.id for result in results] == [check.id for check in suite.CHECKS]
    assert results[0].id == "version"


def test_check_that_can_not_read_what_it_needs_is_inconclusive() -> None:
    """A missing /proc, say, must not end the report."""

    def unreadable() -> Result:
        raise FileNotFoundError(2, "No such file or directory", "/proc/filesystems")

    (result,) = suite.run((suite.Check("cgroup2", unreadable),))
    assert (result.id, result.outcome) == ("cgroup2", Outcome.INCONCLUSIVE)
    assert "No such file" in result.detail


def test_child_hands_back_the_result_it_was_given() -> None:
    """All four fields cross the pipe."""
    assert scratch.in_child("x", lambda: BAD) == BAD


def test_what_a_child_changes_stays_in_the_child() -> None:
    """Directory and descriptors of this process stay as they were."""
    descriptors = Path("/proc/self/fd")
    before = Path.cwd(), len(list(descriptors.iterdir()))

    def change() -> Result:
        os.chdir("/proc")
        os.open("/dev/null", os.O_RDONLY)
        return Result("x", Outcome.SUPPORTED, str(Path.cwd()))

    assert scratch.in_child("x", change).detail == "/proc"
    assert (Path.cwd(), len(list(descriptors.iterdir()))) == before


def _killed() -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return GOOD


def _wrong() -> Result:
    raise ZeroDivisionError


@pytest.mark.parametrize("probe", [_killed, _wrong])
def test_probe_that_dies_is_inconclusive(probe: Callable[[], Result]) -> None:
    """A child that gives no answer proves nothing, and never runs on in the parent's code."""
    parent = os.getpid()
    result = scratch.in_child("x", probe)
    assert os.getpid() == parent
    assert (result.id, result.outcome) == ("x", Outcome.INCONCLUSIVE)
    assert "died" in result.detail


@pytest.mark.parametrize("style", STYLES)
def test_report_keeps_under_80_columns(style: report.Style) -> None:
    """Even with long texts and words that do not break, in every style."""
    text = report.as_text(findings(GOOD, WORDY, UNKNOWN), style)
    plain = re.sub(r"\033\[[0-9]+m", "", text)
    assert max(map(len, plain.splitlines())) < 80


def test_report_says_it_in_words_where_there_is_no_terminal() -> None:
    """A log or a pipe gets words, no signs and no colours."""
    assert report.as_text(findings(GOOD, BAD, UNKNOWN), report.Style()) == (
        "enforcer check: Linux 6.1.0\n"
        "\n"
        "supported    version  Linux 6.1.0, needed 5.4 or newer\n"
        "unsupported  nftables no sets with timeouts\n"
        "                      remedy: use another one\n"
        "inconclusive bpf      could not be tested\n"
        "                      remedy: run the check as root\n"
        "\n"
        "scope: all WSL 2 distributions\n"
        "note: programs of Windows are not restricted\n"
        "\n"
        "enforcer can't work here as it is: nftables missing\n"
    )


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ((GOOD,), "enforcer can work here"),
        ((GOOD, POOR), "enforcer can work here; poorer for lack of nft-ct"),
        ((GOOD, UNKNOWN), "nothing found against it, but not tested: bpf"),
        (
            (POOR, UNKNOWN),
            "nothing found against it, but not tested: bpf; poorer for lack of nft-ct",
        ),
        ((BAD, UNKNOWN), "enforcer can't work here as it is: nftables missing"),
    ],
)
def test_report_ends_with_the_verdict(results: tuple[Result, ...], verdict: str) -> None:
    """The last line sums up, and never promises what was not tested."""
    text = report.as_text(findings(*results), report.Style())
    assert text.splitlines()[-1] == verdict


def test_terminal_gets_signs_and_colours(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sign a line, in colour."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = report.as_text(findings(GOOD, BAD, UNKNOWN), report.Style.of(terminal))
    assert "\033[32m✓\033[0m version" in text
    assert "\033[31m✗\033[0m nftables" in text
    assert "\033[33m?\033[0m bpf" in text


def test_no_color_is_respected(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: the variable's presence is enough."""
    monkeypatch.setenv("NO_COLOR", "1")
    text = report.as_text(findings(GOOD), report.Style.of(terminal))
    assert "✓ version" in text
    assert "\033" not in text


def test_terminal_without_unicode_gets_words() -> None:
    """A sign that can't be encoded would end the report with an error."""
    controller, user = os.openpty()
    with open(user, "w", encoding="ascii") as stream:  # noqa: PTH123 - a descriptor has no path
        style = report.Style.of(stream)
    os.close(controller)
    report.as_text(findings(GOOD, BAD, UNKNOWN), style).encode("ascii")


def test_json_holds_what_the_report_says() -> None:
    """Programs get the same findings under stable keys."""
    assert json.loads(report.as_json(findings(GOOD, BAD, POOR))) == {
        "supported": False,
        "release": "6.1.0",
        "tier": {"name": "stateless", "worse": list(tier({"nft-ct"}).worse), "known": True},
        "platform": {
            "wsl": 2,
            "scope": "all WSL 2 distributions",
            "notes": ["programs of Windows are not restricted"],
        },
        "checks": [
            {
                "id": "version",
                "outcome": "supported",
                "required": True,
                "detail": "Linux 6.1.0, needed 5.4 or newer",
                "remedy": None,
            },
            {
                "id": "nftables",
                "outcome": "unsupported",
                "required": True,
                "detail": "no sets with timeouts",
                "remedy": "use another one",
            },
            {
                "id": "nft-ct",
                "outcome": "unsupported",
                "required": False,
                "detail": "no expression ct",
                "remedy": "use another one",
            },
        ],
    }
