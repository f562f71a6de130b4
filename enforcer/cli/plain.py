"""Status as text of 79 columns, for whatever reads a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from enforcer.cli.summary import Summary, summarize

WIDTH = 79
INDENT = 13


def as_text(report: dict[str, Any]) -> str:
    """Return *report*, a document of `enforcer status --json`, for people."""
    summary = summarize(report)
    before = ""  # items of the same label, but for what is a sentence of its own
    lines = [summary.headline.text]
    for group in summary.what:
        for item in group:
            lines += _row("" if item.label == before else item.label, item.text)
            before = "" if item.label in {"note", "repaired"} else item.label
            if item.label == "addresses":
                lines += _denied(summary)
    for text, hint in summary.problems:
        lines += _row("problem", text)
        if hint:
            lines += _row("", f"-> {hint}")
    if summary.more_problems:
        lines += _row("problems", f"and {summary.more_problems} more: enforcer status --json")
    return "\n".join(lines)


def _denied(summary: Summary) -> Iterator[str]:
    if summary.packets is None:
        return
    colon = "; in the last hour:" if summary.denied else ""
    yield from _row(summary.label, f"{summary.packets}{colon}")
    for each in summary.denied:
        who = f" by {each.who}," if each.who else ""
        yield from _row("", f"{each.packets} to {each.what},{who} {each.ago}")
    if summary.more_denied:
        yield from _row("", f"and {summary.more_denied} more: enforcer denials --since 1h")


def _row(label: str, text: str) -> Iterator[str]:
    head, below = f"{label:<{INDENT - 1}} ", " " * INDENT
    for line in text.splitlines():  # of several mistakes in a policy, each
        yield from textwrap.wrap(
            line, WIDTH, initial_indent=head, subsequent_indent=below, break_on_hyphens=False
        )
        head = below
