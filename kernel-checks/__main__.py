"""Runs all checks and prints the report: ``python3 kernel-checks [--json]``.

Exits 0 when nothing was found that makes enforcement impossible, else 4.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType


def _package() -> str:
    """Return the name of this package, making the package first where there is none.

    ``python3 kernel-checks`` runs this file alone, with the folder in front of the module path.
    There it must not stay: its bcc.py is not BCC.
    """
    folder = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != folder]
    if __package__:
        return __package__
    name = "kernel_checks"
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return name


def main() -> int:
    """Print the report; return the exit code."""
    package = _package()
    report = importlib.import_module(".report", package)
    suite = importlib.import_module(".suite", package)
    parser = argparse.ArgumentParser(
        prog="kernel-checks",
        description="Check whether this kernel and platform can enforce; change nothing.",
        epilog="Exits 0, or 4 if something makes enforcement impossible.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    findings = suite.examine()
    if arguments.json:
        text: str = report.as_json(findings)
    else:
        text = report.as_text(findings, report.Style.of(sys.stdout))
    sys.stdout.write(text)
    code: int = findings.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
