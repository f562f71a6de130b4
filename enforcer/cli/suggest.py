"""The command ``policy suggest``: a policy from what was denied."""

from __future__ import annotations

import json
from pathlib import Path

import click

from enforcer.cli.clock import local
from enforcer.cli.options import json_option, runtime_dir_option
from enforcer.core.wording import counted
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir

NOTHING = "nothing was asked for that the policy does not permit"


@click.command()
@json_option
@runtime_dir_option
def suggest(*, as_json: bool, runtime_dir: Path) -> None:
    """Print policy lines for what the running daemon saw denied.

    Run a policy with mode: audit for some days, which denies nothing, and read
    what this prints before it goes into the policy file: anybody on the machine
    can have asked for anything. A preset stands for hosts that it permits, and
    what no line can permit comes last, as comments.

    Exits 3 if no daemon runs.
    """
    found = client.request("GET", RuntimeDir(runtime_dir).socket, "/suggestion")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    since = local(found["since"])
    verb = "would not have permitted" if found["mode"] == "audit" else "did not permit"
    click.echo(
        f"# {found['organization']}'s policy {verb} this since {since}:"
        if found["lines"]
        else f"# {NOTHING}, since {since}"
    )
    for line in found["lines"]:
        click.echo(line)
    if found["forgotten"]:
        more = counted(found["forgotten"], "more host was", "more hosts were")
        click.echo(f"# {more} too many to be remembered")
