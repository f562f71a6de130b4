"""The errors enforcer raises; each says what is wrong and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


class EnforcerError(Exception):
    """Root of all errors. Never raised itself.

    Args:
        message: names the thing and the reason; lower case, no full stop.
        hint: what to do about it, if anything can be done.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} (hint: {self.hint})"


@dataclass(frozen=True)
class PolicyProblem:
    """One thing wrong with a policy file.

    Attributes:
        line: 1-based line in the file; 0 when the file as a whole is meant.
        key: dotted path of the key, such as ``hosts[2].ports``; may be empty.
        reason: what is wrong.
        hint: what to write instead.
    """

    line: int
    key: str
    reason: str
    hint: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{key}{self.reason} (hint: {self.hint})"


class PolicyError(EnforcerError):
    """The policy file can't be used; the operator can fix it.

    Carries all its problems; the message names the first MAX_SHOWN.
    """

    exit_code = 2
    MAX_SHOWN = 20

    def __init__(self, path: str, problems: tuple[PolicyProblem, ...]) -> None:
        self.path = path
        self.problems = problems
        lines = [
            f"policy {path}:{p.line}: {p}" if p.line else f"policy {path}: {p}"
            for p in problems[: self.MAX_SHOWN]
        ]
        if (more := len(problems) - len(lines)) > 0:
            lines.append(f"policy {path}: and {more} more: mend these first")
        super().__init__("\n".join(lines))


class NotRunning(EnforcerError):
    """No daemon listens on the control socket."""

    exit_code = 3


class Unsupported(EnforcerError):
    """The kernel or the platform can't enforce: refuse to start."""

    exit_code = 4


class DatapathError(EnforcerError):
    """BPF, tc, cgroup or nftables said no."""


class MalformedAnswer(EnforcerError):
    """A DNS message that can't be understood: counted, never fatal, never allows."""
