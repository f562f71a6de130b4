"""The kernel release: the only place in the project that compares versions.

Everything else is probed, because distributions backport. The release is a gate because what
is missing below it shows late and badly: the verifier refuses the programs, with a listing of
instructions for a message.

- Before Linux kernel commit 2589726d12a1 ("bpf: introduce bounded loops") (in v5.3), a program
  can't loop over the labels of a name or the records of an answer.
- Before Linux kernel commit 7c4b90d79d0f ("bpf: Allow bpf_skb_event_output for a few prog
  types") (in v5.4), a cgroup_skb program can't hand an event to user space.
"""

from __future__ import annotations

import os
import re

from .result import Outcome, Result

ID = "version"
NEEDED = (5, 4)
WHY = "bounded loops in BPF came with 5.3, perf output from cgroup programs with 5.4"
REMEDY = "boot Linux 5.4 or newer; on WSL 2 run `wsl --update` in Windows"

# Five digits: more is no release, and int() refuses thousands of them.
_RELEASE = re.compile(r"([0-9]{1,5})\.([0-9]{1,5})(?![0-9])")


def parse(release: str) -> tuple[int, int] | None:
    """Return major and minor of a ``uname -r`` string, or None if it does not start with them.

    A release candidate counts as its release: features are merged before the first one.
    """
    match = _RELEASE.match(release)
    return None if match is None else (int(match[1]), int(match[2]))


def at_least(release: str, needed: tuple[int, int]) -> bool | None:
    """Say whether *release* is *needed* or newer; None if it can't be parsed."""
    found = parse(release)
    return None if found is None else found >= needed


def gate(release: str | None = None) -> Result:
    """Say whether a kernel of this release is new enough, before anything touches it.

    Args:
        release: as ``uname -r`` prints it; None asks the running kernel.
    """
    release = os.uname().release if release is None else release
    needed = f"{NEEDED[0]}.{NEEDED[1]}"
    enough = at_least(release, NEEDED)
    if enough is None:
        detail = f'no version at the start of release "{release}", needed {needed} or newer'
        return Result(ID, Outcome.INCONCLUSIVE, detail, "trust the other checks")
    if enough:
        return Result(ID, Outcome.SUPPORTED, f"Linux {release}, needed {needed} or newer")
    detail = f"Linux {release} found, {needed} or newer needed: {WHY}"
    return Result(ID, Outcome.UNSUPPORTED, detail, REMEDY)
