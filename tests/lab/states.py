"""What `enforcer status` says to whoever reads a pipe, for the tests of its states."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from tests.lab.daemon import Enforcer
from tests.lab.wait import until

HEALTHY, DEGRADED, NOT_RUNNING = 0, 1, 3
# Three rounds of the daemon's own look-around.
SHOWN_WITHIN_S = 15


def shown(enforcer: Enforcer) -> subprocess.CompletedProcess[str]:
    """Return what `enforcer status` says to whoever reads a pipe, each item on a line."""
    done = enforcer.cli("status", check=False)
    done.stdout = re.sub(r"\n  +(?!->)", " ", done.stdout)
    return done


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Return the exit status and the first line."""
    return done.returncode, done.stdout.partition("\n")[0]


def becomes(enforcer: Enforcer, state: int, words: str, damage: Callable[[], object]) -> str:
    """Do *damage* until it shows, as the daemon may repair it first; return what is shown."""

    def told() -> str:
        damage()
        done = shown(enforcer)
        return done.stdout if done.returncode == state and words in done.stdout else ""

    return until(told, SHOWN_WITHIN_S, words)


def is_healthy_again(enforcer: Enforcer) -> None:
    """Wait until nothing is wrong any more."""
    until(lambda: shown(enforcer).returncode == HEALTHY, SHOWN_WITHIN_S, "health")
