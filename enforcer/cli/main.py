"""The command line: the only place that turns an error into text and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from enforcer import __version__
from enforcer.cli.check import check
from enforcer.cli.control import off, reload
from enforcer.cli.hosts import hosts
from enforcer.cli.options import runtime_dir_option
from enforcer.cli.policy import policy
from enforcer.cli.run import run
from enforcer.cli.status import status
from enforcer.edge.runtime import RUNTIME_DIR_VARIABLE
from enforcer.errors import EnforcerError, PolicyError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 79})
@click.version_option(__version__, prog_name="enforcer")
@runtime_dir_option
def cli(runtime_dir: Path) -> None:
    """Let this machine reach only the container registries a policy lists."""
    # One place for all commands, given before or after their name.
    os.environ[RUNTIME_DIR_VARIABLE] = os.fspath(runtime_dir)


for command in (run, status, check, hosts, policy, reload, off):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
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
    except BrokenPipeError:
        # The reader left, as `head` does; Python would complain once more at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _show(exc: EnforcerError) -> None:
    prefix = click.style("enforcer:", fg="red")
    messages = exc.message.splitlines() if isinstance(exc, PolicyError) else [str(exc)]
    for message in messages:
        click.echo(f"{prefix} {message}", err=True)
