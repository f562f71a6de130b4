"""What a run on other kernels found, as a table and as a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.vm.guest import Ran
from tests.vm.kernels import Kernel
from tests.vm.suite import GROUPS


@dataclass(frozen=True)
class Report:
    """Of one kernel.

    Attributes:
        document: all that is known, for JSON.
    """

    document: dict[str, Any]

    @classmethod
    def of(cls, kernel: Kernel, ran: Ran, inside: Path) -> Report:
        """Return what is known of a guest.

        Args:
            kernel: which booted.
            ran: what became of it.
            inside: the report it left; not there if it ended early.
        """
        found = json.loads(inside.read_text(encoding="utf-8")) if inside.exists() else {}
        return cls({"kernel": kernel.name, "version": kernel.version, **asdict(ran), **found})

    @property
    def passed(self) -> bool:
        """Whether all that was to run did, and passed."""
        return bool(self.document["status"] == 0)

    @property
    def failures(self) -> dict[str, str]:
        """The tests that failed, and why; a group that failed without one."""
        found = {}
        for name, group in self.document.get("groups", {}).items():
            if group["status"] and not group["failed"]:
                found[name] = f"pytest ended with {group['status']}"
            found |= group["failed"]
        return found

    @property
    def missing(self) -> list[str]:
        """The checks that found something unsupported."""
        results = self.document.get("checks", {}).get("report", {}).get("checks", ())
        return [each["id"] for each in results if each["outcome"] == "unsupported"]

    def row(self) -> list[str]:
        """Return the cells of the table."""
        document = self.document
        if document["release"] is None:
            return [document["version"], "did not boot"]
        checks = document.get("checks")
        cells = [document["release"], f"{document['boot_s']:.1f} s", "-"]
        if checks:
            outcome = "ok" if checks["status"] == 0 else "refused"
            cells[-1] = f"{outcome}, {checks['took_s']:.0f} s"
        for name in GROUPS:
            group = document.get("groups", {}).get(name)
            cells.append(_cell(group) if group else "-")
        return [*cells, _minutes(document)]


def _cell(group: dict[str, Any]) -> str:
    """Return the tests that passed of those that ran, and the seconds they took."""
    passed = len(group["passed"])
    return f"{passed}/{passed + len(group['failed'])}, {group['took_s']:.0f} s"


def _minutes(document: dict[str, Any]) -> str:
    return f"{document['took_s'] / 60:.1f} min, {document['cpu_s'] / 60:.1f} of a processor"


def render(reports: Sequence[Report]) -> str:
    """Return the table in Markdown, and below it what failed."""
    rows = [["kernel", "boot", "checks", *GROUPS, "in all"], *(each.row() for each in reports)]
    width = len(rows[0])
    lines = ["| " + " | ".join((row + [""] * width)[:width]) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    for each in reports:
        if each.missing:
            lines.append(f"\n{each.document['release']} lacks {', '.join(each.missing)}")
        for test, why in each.failures.items():
            lines.append(f"\nFAILED on {each.document['release']}: {test}\n  {_first_line(why)}")
    return "\n".join(lines)


def _first_line(text: str) -> str:
    return text.splitlines()[0][:200] if text else ""
