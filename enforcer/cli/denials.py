"""The command ``denials``: who was denied what."""

from __future__ import annotations

import datetime
import json
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from enforcer.cli.clock import local
from enforcer.cli.options import runtime_dir_option
from enforcer.core.moment import parse_moment
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir

# Soon enough for somebody who looks on; the records are kept anyway.
LOOK_EVERY_S = 0.5
# Wider lines are read less well.
MAX_WIDTH, INDENT = 100, "    "


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_moment(text, datetime.datetime.now().astimezone())
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is denied from now on.")
@click.option(
    "--since",
    metavar="WHEN",
    callback=_moment,
    help="Only what was denied since: 90s, 10m, 2h, 1d ago; 14:30; 2026-11-24T14:30.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@runtime_dir_option
def denials(*, follow: bool, since: float | None, as_json: bool, runtime_dir: Path) -> None:
    """Show who was denied what.

    The last thousand records of the running daemon, oldest first; its log has
    them all. A record counts what the same process was denied of the same
    address in ten seconds. With --follow it comes when it begins, and once more
    with its count if there was more of it.

    Exits 3 if no daemon runs.
    """
    socket = RuntimeDir(runtime_dir).socket
    query: dict[str, Any] = {} if since is None else {"since": since}
    answer = _asked(socket, query)
    _show(answer["denials"], as_json=as_json)
    if not follow:
        if not (answer["denials"] or as_json):
            click.echo("nothing was denied" + ("" if since else " since the daemon started"))
        return
    while True:
        time.sleep(LOOK_EVERY_S)
        later = _asked(socket, {"after": answer["revision"]})
        if later["daemon"] != answer["daemon"]:
            later = _asked(socket, {})  # another one, which counts anew
        _show(later["denials"], as_json=as_json)
        answer = later


def _asked(socket: Path, query: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.request("GET", socket, f"/denials?{urlencode(query)}")
    return answer


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    for each in found:
        click.echo(json.dumps(each) if as_json else _line(each))


def _line(denial: dict[str, Any]) -> str:
    line = f"{local(denial['first'])} {denial['text']}"
    # What reads a pipe, such as grep, wants a line for each.
    if not sys.stdout.isatty():
        return line
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    return textwrap.fill(line, width, subsequent_indent=INDENT, break_on_hyphens=False)
