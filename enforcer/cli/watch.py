"""The command ``watch``: status as it changes."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from enforcer.cli.options import runtime_dir_option
from enforcer.cli.status import WIDTH, as_text, current
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import EnforcerError

# A look takes some 20 ms of the daemon's.
EVERY_S = 1.0
MAX_DENIALS = 8


@click.command()
@runtime_dir_option
def watch(runtime_dir: Path) -> None:
    """Show status and the latest denials as they change.

    Until Ctrl-C. On a terminal only: what reads a pipe asks enforcer status.
    """
    if not sys.stdout.isatty():
        raise click.UsageError("watch needs a terminal: use enforcer status, or denials --follow")
    # A tenth of a second that the other commands can do without.
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    runtime = RuntimeDir(runtime_dir)
    first = _shown(runtime)
    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        live.update(Text.from_ansi(first), refresh=True)
        while True:
            time.sleep(EVERY_S)
            live.update(Text.from_ansi(_shown_again(runtime)), refresh=True)


def _shown(runtime: RuntimeDir) -> str:
    report = current(runtime)
    return "\n".join((as_text(report), *_denials(report)))


def _shown_again(runtime: RuntimeDir) -> str:
    try:
        return _shown(runtime)
    except EnforcerError as exc:
        return str(exc)  # it may pass: a daemon that restarts


def _denials(report: dict[str, Any]) -> Iterator[str]:
    recent = report["denied"]["recent"][-MAX_DENIALS:]
    for denial in reversed(recent):
        yield ""
        yield from textwrap.wrap(denial["text"], WIDTH, subsequent_indent="    ")
