"""The command ``hosts``: which addresses are open for which host, and until when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from enforcer.cli.options import json_option, runtime_dir_option
from enforcer.core.asked import parse_asked
from enforcer.core.hostname import Pattern
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir


@click.command(short_help="Show the addresses open for each host.")
@click.argument("host", required=False)
@json_option
@runtime_dir_option
def hosts(host: str | None, *, as_json: bool, runtime_dir: Path) -> None:
    """Show the addresses open for each host, or for HOST.

    HOST may be a wildcard, or an address: then the hosts it is open for.
    """
    target = "/hosts" if host is None else f"/hosts?host={quote(host)}"
    answer = client.request("GET", RuntimeDir(runtime_dir).socket, target)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["hosts"]:
        click.echo(_nothing(host))
    for entry in answer["hosts"]:
        click.echo(_as_text(entry))


def _nothing(host: str | None) -> str:
    asked = None if host is None else parse_asked(host)
    if asked is None:
        return "the policy permits no host"
    if isinstance(asked, Pattern):
        return f"the policy permits no host {asked}"
    return f"{asked} is open for no host"


def _as_text(entry: dict[str, Any]) -> str:
    lines = [entry["host"]]
    for each in entry["addresses"]:
        ports = ",".join(map(str, each["ports"]))
        learned = ", ".join(each["learned"])
        lines.append(f"  {each['address']:<39} {ports:<9} {each['expires_s']:>6} s  {learned}")
    if not entry["addresses"]:
        wildcard = entry["host"].startswith("*.")
        lines.append("  any name below it" if wildcard else "  no address yet")
    return "\n".join(lines)
