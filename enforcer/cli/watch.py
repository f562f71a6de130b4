"""The command ``watch``: status as it changes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.cli.options import runtime_dir_option
from enforcer.cli.status import current
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import EnforcerError

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

# A look takes some 20 ms of the daemon's.
EVERY_S = 1.0


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

    from enforcer.cli.screen import console  # noqa: PLC0415

    runtime, terminal = RuntimeDir(runtime_dir), console()
    first = _shown(runtime, terminal)
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=terminal, screen=True, auto_refresh=False) as live,
    ):
        live.update(first, refresh=True)
        while True:
            time.sleep(EVERY_S)
            live.update(_shown_again(runtime, terminal), refresh=True)


def _shown(runtime: RuntimeDir, terminal: Console) -> Group:
    from enforcer.cli.screen import as_watched, shows_signs  # noqa: PLC0415

    return as_watched(current(runtime), signs=shows_signs(terminal))


def _shown_again(runtime: RuntimeDir, terminal: Console) -> Group | Text:
    from rich.text import Text  # noqa: PLC0415

    try:
        return _shown(runtime, terminal)
    except EnforcerError as exc:
        return Text(str(exc))  # it may pass: a daemon that restarts
