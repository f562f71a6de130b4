"""The command line: the only place that turns an error into text and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from enforcer import __version__
from enforcer.cli.options import runtime_dir_option
from enforcer.errors import EnforcerError, PolicyError

# The module of each command: only the one that is asked for is imported.
COMMANDS = {
    "check": "check",
    "denials": "denials",
    "explain": "explain",
    "hosts": "hosts",
    "off": "control",
    "policy": "policy",
    "reload": "control",
    "run": "run",
    "status": "status",
    "watch": "watch",
}


# 128 and SIGPIPE: as a shell shows what that signal ended.
EXIT_BROKEN_PIPE = 141


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Exit without a word when the reader of our output leaves, as `head` does."""
    try:
        yield
    except BrokenPipeError as exc:
        # Before click 8.1 sees it, and exits 1. Python would complain once more at its exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(EXIT_BROKEN_PIPE) from exc


class Commands(click.Group):
    """The commands of COMMANDS."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401 - click's own
        """Parse the command line, which may print the help."""
        with _reader_may_leave():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _reader_may_leave():
            return super().invoke(ctx)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of that name."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"enforcer.cli.{COMMANDS[name]}")
        command: click.Command = getattr(module, name)
        return command


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 79}
)
@click.version_option(__version__, prog_name="enforcer")
@runtime_dir_option
def cli(**_options: object) -> None:
    """Let this machine reach only the container registries a policy lists."""


def main() -> None:
    """Run the command line and exit."""
    # Python has none for a descriptor that whoever started us closed.
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as we live
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    try:
        sys.exit(cli(prog_name="enforcer", standalone_mode=False))
    except EnforcerError as exc:
        _show(exc)
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except OSError as exc:
        _show(EnforcerError(f"can't write what there is to say: {exc.strerror or exc}"))
        sys.exit(EnforcerError.exit_code)


def _show(exc: EnforcerError) -> None:
    prefix = click.style("enforcer:", fg="red")
    messages = exc.message.splitlines() if isinstance(exc, PolicyError) else [str(exc)]
    for message in messages:
        click.echo(f"{prefix} {message}", err=True)
