"""The findings as text under 80 columns, or as JSON."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import dataclass
from typing import TextIO

from .result import Outcome, Result
from .suite import OPTIONAL, Findings

_WIDTH = 79
_SIGNS = {Outcome.SUPPORTED: "✓", Outcome.UNSUPPORTED: "✗", Outcome.INCONCLUSIVE: "?"}
_COLOURS = {Outcome.SUPPORTED: "32", Outcome.UNSUPPORTED: "31", Outcome.INCONCLUSIVE: "33"}


@dataclass(frozen=True)
class Style:
    """How a report looks: signs or words for the outcomes, coloured or not."""

    signs: bool = False
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """Return what suits *stream*: a terminal gets signs, and colour unless NO_COLOR is set."""
        terminal = stream.isatty()
        encodes = (stream.encoding or "").lower().startswith("utf")
        return cls(signs=terminal and encodes, colour=terminal and "NO_COLOR" not in os.environ)

    def mark(self, outcome: Outcome) -> str:
        """Return the outcome as it looks at the start of a line, coloured last."""
        text = _SIGNS[outcome] if self.signs else f"{outcome.value:12}"
        return f"\033[{_COLOURS[outcome]}m{text}\033[0m" if self.colour else text

    @property
    def indent(self) -> int:
        """How many columns a mark takes."""
        return 1 if self.signs else 12


def as_text(findings: Findings, style: Style) -> str:
    """Return the report for people."""
    blocks = [f"enforcer check: Linux {findings.release}", ""]
    width = max((len(result.id) for result in findings.results), default=0)
    for result in findings.results:
        blocks.extend(_lines(result, style, width))
    blocks += ["", *_wrap(f"scope: {findings.platform.scope}", "")]
    for note in findings.platform.notes:
        blocks += _wrap(f"note: {note}", "")
    if findings.supported:
        known = findings.tier_known
        name = findings.tier.name if known else "not known: see what was not tested"
        blocks += _wrap(f"tier: {name}", "")
        for line in findings.tier.worse:
            blocks += _wrap(f"note: {line}", "")
    blocks += ["", *_wrap(_verdict(findings), "")]
    return "\n".join(blocks) + "\n"


def as_json(findings: Findings) -> str:
    """Return the report for programs."""
    document = {
        "supported": findings.supported,
        "release": findings.release,
        "tier": {
            "name": findings.tier.name,
            "worse": findings.tier.worse,
            "known": findings.tier_known,
        },
        "platform": {
            "wsl": findings.platform.wsl,
            "scope": findings.platform.scope,
            "notes": findings.platform.notes,
        },
        "checks": [
            {
                "id": result.id,
                "outcome": result.outcome.value,
                "required": result.id not in OPTIONAL,
                "detail": result.detail,
                "remedy": result.remedy,
            }
            for result in findings.results
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _lines(result: Result, style: Style, width: int) -> list[str]:
    mark = " " * (style.indent + 1)
    indent = mark + " " * (width + 1)
    first, *rest = _wrap(f"{result.id:{width}} {result.detail}", indent, first=mark)
    lines = [style.mark(result.outcome) + first[style.indent :], *rest]
    if result.remedy:
        lines += _wrap(f"remedy: {result.remedy}", indent)
    return lines


def _wrap(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,  # a command or package name is copied whole
    )


def _verdict(findings: Findings) -> str:
    missing = _ids(findings.missing)
    if not findings.supported:
        return f"enforcer can't work here as it is: {missing} missing"
    verdict = "enforcer can work here"
    if findings.untested:
        verdict = f"nothing found against it, but not tested: {_ids(findings.untested)}"
    return f"{verdict}; poorer for lack of {missing}" if missing else verdict


def _ids(results: tuple[Result, ...]) -> str:
    return ", ".join(result.id for result in results)
