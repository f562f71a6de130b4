"""The program nft: carries out rulesets and lists tables, all of it text."""

from __future__ import annotations

import os
import subprocess  # noqa: TID251 - nft is a program
from collections.abc import Sequence

from enforcer.errors import DatapathError

# The largest ruleset takes nft two seconds; this ends only what hangs.
_TIMEOUT_S = 60
_NO_SUCH = "No such file or directory"
_NOT_SUPPORTED = "not supported"
# Of each line that is told: nft shows the whole rule, which may have thousands of networks.
_SHOWN = 300


def carry_out(text: str) -> None:
    """Carry out *text*, a ruleset, in one transaction.

    Raises:
        DatapathError: nft or the kernel refused; nothing was changed.
    """
    done = _run(("-f", "-"), text)
    if done.returncode:
        raise _translated("nft refused the ruleset", done.stderr)


def listed(*arguments: str) -> str | None:
    """Return the JSON that nft lists, or None if there is no such thing.

    Raises:
        DatapathError: nft could not list it.
    """
    done = _run(("-j", *arguments), "")
    if not done.returncode:
        return done.stdout
    if done.stderr.startswith(f"Error: {_NO_SUCH}"):
        return None
    raise _translated("nft could not list our table", done.stderr)


def _run(arguments: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("nft", *arguments),
            input=text,
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},  # the messages are read
            text=True,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError as exc:
        raise DatapathError('program "nft" not found', "install the package nftables") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise DatapathError(f"nft: {exc}") from exc


def _translated(what: str, stderr: str) -> DatapathError:
    """Return the error for nft's own words: its first message and the line that is about."""
    hint = None
    if "Operation not permitted" in stderr:
        hint = "run as root"
    elif _NO_SUCH in stderr or _NOT_SUPPORTED in stderr:
        hint = "the kernel may lack an nftables expression: run `enforcer check`"
    words = " ".join(line.strip()[:_SHOWN] for line in stderr.splitlines()[:2])
    return DatapathError(f"{what}: {words or 'no reason given'}", hint)
