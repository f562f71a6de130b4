"""The checks in the order of the report, and what they say together."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import (
    bcc,
    bpf,
    bpffs,
    cgroup2,
    clsact,
    connect,
    conntrack,
    container,
    engines,
    jit,
    lockdown,
    loops,
    maps,
    memlock,
    modules,
    nflog,
    nftables,
    perf_events,
    scratch,
    seal,
    sock_destroy,
    sock_ops,
    tc,
    unprivileged,
    version,
    wsl,
)
from .result import Outcome, Result
from .tier import Tier, decides, tier
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
        needs: the check, before this one, without whose success it proves nothing.
    """

    id: str
    run: Callable[[], Result]
    required: bool = True
    needs: str | None = None


CHECKS = (
    Check(version.ID, version.gate),
    Check(wsl.ID, wsl.check),
    Check(container.ID, container.check),
    Check(engines.ID, engines.check, required=False),
    Check(lockdown.ID, lockdown.check, required=False),
    Check(modules.ID, modules.check, required=False),
    Check(cgroup2.ID, cgroup2.check),
    Check(bpf.ID, bpf.check),
    Check(unprivileged.ID, unprivileged.check, required=False),
    Check(jit.ID, jit.check, required=False, needs=bpf.ID),
    Check(memlock.ID, memlock.check, needs=bpf.ID),
    Check(maps.ID, maps.check, needs=bpf.ID),
    Check(loops.ID, loops.check, needs=bpf.ID),
    Check(clsact.ID, clsact.check),
    Check(tc.ID, tc.check, needs=bpf.ID),
    Check(sock_ops.ID, sock_ops.check, needs=bpf.ID),
    Check(connect.ID, connect.check, required=False, needs=bpf.ID),
    Check(seal.ID, seal.check, needs=bpf.ID),
    Check(perf_events.ID, perf_events.check),
    Check(bpffs.ID, bpffs.check, required=False),
    Check(nftables.ID, nftables.check),
    *(
        Check(
            one.id,
            functools.partial(nftables.check_expression, one),
            required=False,
            needs=nftables.ID,
        )
        for one in nftables.EXPRESSIONS
    ),
    Check(nflog.ID, nflog.check, required=False),
    Check(conntrack.ID, conntrack.check, required=False),
    Check(sock_destroy.ID, sock_destroy.check, required=False),
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
    def tier_known(self) -> bool:
        """Whether all was tested that decides the tier."""
        return not any(decides(one.id) for one in self.untested)

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


def run(
    checks: tuple[Check, ...] = CHECKS,
    hidden: Collection[str] = (),
    passed: Collection[str] = (),
) -> tuple[Result, ...]:
    """Run the checks, one result each; a check that can't read what it needs is inconclusive.

    Args:
        checks: in the order of their results.
        hidden: names of those that are not run and taken for unsupported, for tests.
        passed: likewise, for supported.
    """
    found: dict[str, Result] = {}
    for each in checks:
        if each.id in hidden:
            result = Result(each.id, Outcome.UNSUPPORTED, "hidden, for a test")
        elif each.id in passed:
            result = Result(each.id, Outcome.SUPPORTED, "not looked for, for a test")
        elif each.needs in found and found[each.needs].outcome is not Outcome.SUPPORTED:
            result = Result(each.id, Outcome.INCONCLUSIVE, f"not tried without {each.needs}")
        else:
            result = _run(each)
        found[each.id] = result
    return tuple(found.values())


def examine(hidden: Collection[str] = (), passed: Collection[str] = ()) -> Findings:
    """Run all checks on this machine, but for some: see `run`."""
    return Findings(os.uname().release, platform(), run(hidden=hidden, passed=passed))


def _run(check: Check) -> Result:
    try:
        return check.run()
    except OSError as exc:
        return scratch.inconclusive(check.id, exc)
