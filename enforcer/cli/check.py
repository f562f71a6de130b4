"""The command ``check``: the kernel checks' report."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from enforcer.errors import DatapathError
from enforcer.kernel_checks import report, suite


@click.command(short_help="Tell whether this machine can enforce.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(context: click.Context, *, as_json: bool) -> None:
    """Check whether this kernel and platform can enforce; change nothing.

    Exits 0, or 4 if something makes enforcement impossible.
    """
    findings = suite.examine()
    notes = (*findings.platform.notes, *_notes_on_resolvers())
    findings = replace(findings, platform=replace(findings.platform, notes=notes))
    text: str
    if as_json:
        text = report.as_json(findings)
    else:
        text = report.as_text(findings, report.Style.of(sys.stdout))
    code: int = findings.exit_code
    click.echo(text, nl=False)
    context.exit(code)


def _notes_on_resolvers() -> tuple[str, ...]:
    """Return what to know of the machine's own resolvers before a policy trusts them."""
    # Other commands need none of them, and pyroute2 takes long to import.
    from enforcer.edge.links import Links  # noqa: PLC0415
    from enforcer.edge.resolvconf import NoResolver, system_resolvers  # noqa: PLC0415
    from enforcer.status import answered_inside  # noqa: PLC0415

    try:
        resolvers = system_resolvers(Path("/")).addresses
        links = Links()
        try:
            return answered_inside(links.network(resolvers))
        finally:
            links.close()
    except NoResolver:
        return ()  # the daemon starts without, and follows
    except DatapathError as exc:
        return (f"where the resolvers are could not be found out: {exc.message}",)
