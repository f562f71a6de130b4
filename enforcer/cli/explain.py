"""The command ``explain``: allowed or denied, by what, and what a pull would need."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from enforcer.cli.options import json_option, runtime_dir_option
from enforcer.core.host_and_port import HTTPS
from enforcer.edge import client
from enforcer.edge.reach import reached
from enforcer.edge.runtime import RuntimeDir

EXIT_DENIED = 1
WIDTH = 79
PURPOSE_WIDTH, VERDICT_WIDTH = 8, 9
WILDCARD = "*."


@click.command()
@click.argument("target")
@click.option("--no-connect", is_flag=True, help="Do not try whether allowed hosts answer.")
@json_option
@runtime_dir_option
@click.pass_context
def explain(
    context: click.Context, target: str, *, no_connect: bool, as_json: bool, runtime_dir: Path
) -> None:
    """Tell whether TARGET is allowed, and why.

    TARGET is an image as for docker pull (nginx, ghcr.io/a/b:1), a host, a URL
    or an address. Of an image, all that its pull is known to need.

    Exits 0 if all of it is allowed, 1 if not.
    """
    socket = RuntimeDir(runtime_dir).socket
    answer = client.request("GET", socket, f"/explain?target={quote(target, safe='')}")
    for host in answer["hosts"]:
        host["reached"] = None
    if not no_connect:
        _connect(answer["hosts"])
    click.echo(json.dumps(answer, indent=2) if as_json else "\n".join(_lines(answer)))
    if not answer["allowed"]:
        context.exit(EXIT_DENIED)


def _connect(hosts: list[dict[str, Any]]) -> None:
    # What is denied would only be counted as one more denial.
    asked = [each for each in hosts if each["allowed"] and not each["host"].startswith(WILDCARD)]
    outcomes = reached([(each["host"], each["port"]) for each in asked])
    for host, outcome in zip(asked, outcomes, strict=True):
        host["reached"] = outcome.value


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    verdict, colour = ("allowed", "green") if answer["allowed"] else ("denied", "red")
    by = ""
    if entry := answer["entry"]:
        by = f" by {entry['text']} in {entry['origin']}"
    yield f"{click.style(verdict, fg=colour, bold=True)}{by}: {answer['target']}"
    if answer["names"]:
        yield f"open for {', '.join(answer['names'])}"
    if answer["seen"]:
        yield f"answered lately for {', '.join(answer['seen'])}"
    if answer["mode"] == "audit" and not answer["allowed"]:
        yield "the policy is in audit mode: what it does not allow passes, and is counted"
    image = answer["registry"] is not None
    if image:
        yield f"an image of {answer['registry']}; its pull is known to need"
    for host in answer["hosts"]:
        yield from _host(host, image=image)
    if answer["note"] and not (image and answer["allowed"]):
        yield ""
        yield from textwrap.wrap(answer["note"], WIDTH, break_on_hyphens=False)
    if answer["add"]:
        lines = answer["add"]
        where = " under hosts:" if lines[0].startswith(" ") else ""
        yield ""
        yield f"To allow it, the policy needs{where}"
        yield ""
        yield from (f"  {line}" for line in lines)


def _host(host: dict[str, Any], *, image: bool) -> Iterator[str]:
    purpose = f"{host['purpose']:<{PURPOSE_WIDTH}}" if image else ""
    place = host["host"] if host["port"] == HTTPS else f"{host['host']}:{host['port']}"
    verdict = "allowed" if host["allowed"] else "denied"
    line = f"  {purpose}{verdict:<{VERDICT_WIDTH}}{place}"
    about = []
    if host["allowed"]:
        entry = host["entry"]
        same = entry["text"] == host["host"]
        by = entry["origin"] if same else f"{entry['text']} in {entry['origin']}"
        about.append(f"by {by}")
    if host["reached"] is not None:
        about.append(host["reached"])
    words = f"({'; '.join(about)})" if about else ""
    if len(line) + 1 + len(words) <= WIDTH:
        yield f"{line} {words}".rstrip()
    else:
        yield line
        if words:
            yield f"  {' ' * (len(purpose) + VERDICT_WIDTH)}{words}"
