"""The command ``denials``: who was denied what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from enforcer.cli.options import runtime_dir_option
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@runtime_dir_option
def denials(*, as_json: bool, runtime_dir: Path) -> None:
    """Show who was denied what.

    The last thousand records of the running daemon, oldest first. One record
    counts what the same process was denied of the same address in ten seconds.
    """
    answer = client.request("GET", RuntimeDir(runtime_dir).socket, "/denials")
    for each in answer["denials"]:
        click.echo(json.dumps(each) if as_json else _line(each))


def _line(denial: dict[str, Any]) -> str:
    return f"{denial['first']} {denial['text']}"
