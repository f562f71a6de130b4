"""The checks in the order of the report, and what they say together."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import bcc, bpf, cgroup2, clsact, nftables, scratch, version, wsl
from .result import Outcome, Result
from .tier import Tier, tier
from .wsl import Platform, platform

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EXIT_SUPPORTED = 0
EXIT_UNSUPPORTED = 4


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: the name of its result.
        run: does it.
        required: whether enforcement is impossible without; else it is only poorer.
    """

    id: str
    run: Callable[[], Result]
    required: bool = True


CHECKS = (
    Check(version.ID, version.gate),
    Check(wsl.ID, wsl.check),
    Check(cgroup2.ID, cgroup2.check),
    Check(bpf.ID, bpf.check),
    Check(clsact.ID, clsact.check),
    Check(nftables.ID, nftables.check),
    *(
        Check(one.id, functools.partial(nftables.check_expression, one), required=False)
        for one in nftables.EXPRESSIONS
    ),
    Check(bcc.ID, bcc.check),
)
OPTIONAL = frozenset(check.id for check in CHECKS if not check.required)


@dataclass(frozen=True)
class Findings:
    """All that the checks found out about this machine."""

    release: str
    platform: Platform
    results: tuple[Result, ...]

    @property
    def supported(self) -> bool:
        """Whether nothing was found that makes enforcement impossible."""
        return not self.refusing

    @property
    def missing(self) -> tuple[Result, ...]:
        """What is unsupported here, required or not."""
        return tuple(one for one in self.results if one.outcome is Outcome.UNSUPPORTED)

    @property
    def refusing(self) -> tuple[Result, ...]:
        """What is unsupported here and makes enforcement impossible."""
        return tuple(one for one in self.missing if one.id not in OPTIONAL)

    @property
    def tier(self) -> Tier:
        """How enforcement works with what is there."""
        return tier({one.id for one in self.missing})

    @property
    def untested(self) -> tuple[Result, ...]:
        """What could not be found out."""
        return tuple(one for one in self.results if one.outcome is Outcome.INCONCLUSIVE)

    @property
    def exit_code(self) -> int:
        """The exit code of a command that reports these findings."""
        return EXIT_SUPPORTED if self.supported else EXIT_UNSUPPORTED


def run(checks: tuple[Check, ...] = CHECKS, hidden: Collection[str] = ()) -> tuple[Result, ...]:
    """Run the checks, one result each; a check that can't read what it needs is inconclusive.

    Args:
        checks: in the order of their results.
        hidden: names of those that are not run and taken for unsupported, for tests.
    """
    return tuple(_hidden(each) if each.id in hidden else _run(each) for each in checks)


def examine(hidden: Collection[str] = ()) -> Findings:
    """Run all checks on this machine, but for those *hidden*: see `run`."""
    return Findings(os.uname().release, platform(), run(hidden=hidden))


def _hidden(check: Check) -> Result:
    return Result(check.id, Outcome.UNSUPPORTED, "hidden, for a test")


def _run(check: Check) -> Result:
    try:
        return check.run()
    except OSError as exc:
        return scratch.inconclusive(check.id, exc)
