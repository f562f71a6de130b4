"""The command ``status``: what is enforced here, from the kernel even without a daemon."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from enforcer.cli.options import json_option, runtime_dir_option
from enforcer.cli.plain import as_text
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import NotRunning

EXIT_HEALTHY, EXIT_DEGRADED, EXIT_NOT_RUNNING = 0, 1, 3


@click.command()
@json_option
@runtime_dir_option
@click.pass_context
def status(context: click.Context, *, as_json: bool, runtime_dir: Path) -> None:
    """Show what is enforced, and what is wrong.

    Exits 0 if healthy, also in audit mode, which denies nothing; 1 if degraded;
    3 if no daemon answers.
    """
    report = current(RuntimeDir(runtime_dir))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif sys.stdout.isatty():
        _show(report)
    else:
        click.echo(as_text(report))
    if not report["daemon"]["running"]:
        context.exit(EXIT_NOT_RUNNING)
    context.exit(EXIT_HEALTHY if report["healthy"] else EXIT_DEGRADED)


def _show(report: dict[str, Any]) -> None:
    # A tenth of a second that what reads a pipe can do without.
    from enforcer.cli.screen import as_screen, console, shows_signs  # noqa: PLC0415

    terminal = console()
    terminal.print(as_screen(report, signs=shows_signs(terminal)))


def current(runtime: RuntimeDir) -> dict[str, Any]:
    """Return what the daemon says, or the kernel where none answers.

    Raises:
        EnforcerError: neither can be asked, by a caller who is not root for one.
    """
    try:
        report: dict[str, Any] = client.request("GET", runtime.socket, "/status")
    except (NotRunning, client.Silent) as exc:
        if os.geteuid() != 0:
            hint = "sudo enforcer status reads from the kernel what is enforced without it"
            raise type(exc)(exc.message, hint) from exc
        return _without_daemon(runtime, silent=isinstance(exc, client.Silent))
    return report


def _without_daemon(runtime: RuntimeDir, *, silent: bool) -> dict[str, Any]:
    if holder := runtime.elsewhere():
        text = f'no enforcer listens at "{runtime.socket}", but one runs here: {holder}'
        raise NotRunning(text, f"enforcer --runtime-dir {holder.directory} status")
    # After the attempt to ask a daemon, which needs none of them.
    from enforcer.edge.filters import Filters  # noqa: PLC0415
    from enforcer.edge.firewall import Firewall  # noqa: PLC0415
    from enforcer.edge.links import Links  # noqa: PLC0415
    from enforcer.edge.unit import active_state  # noqa: PLC0415
    from enforcer.kernel_checks import suite  # noqa: PLC0415
    from enforcer.status import read_kernel, report  # noqa: PLC0415

    recorded = runtime.recorded()
    firewall, filters = Firewall(), Filters()
    links = Links(recorded.last_defaults if recorded else {})
    try:
        kernel = read_kernel(firewall.inspect(), firewall, links, filters, recorded)
        unit = active_state(runtime.path)
        return report(kernel, suite.examine(), silent=silent, unit=unit)
    finally:
        filters.close()
        links.close()
        firewall.close()
