"""`enforcer policy`: look at a policy file, or write one to start from."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import textwrap
from collections.abc import Iterator

import click

from enforcer.cli.lint import lint
from enforcer.cli.options import any_runtime_dir_option, json_option, runtime_dir_option
from enforcer.cli.suggest import suggest
from enforcer.core.comparison import compare
from enforcer.core.data import data_text
from enforcer.core.hosts import Host
from enforcer.core.places import DEFAULT_POLICY
from enforcer.core.policy import Mode, Policy, describe
from enforcer.core.policy_form import PolicyFile
from enforcer.core.wording import counted
from enforcer.edge.policy_file import read_policy, write_policy
from enforcer.errors import PolicyError

INDENT = "  "
NAME_WIDTH = 48  # columns: the rest of 79 holds "private" and four ports
PORTS_WIDTH = 20
# Of the template: its one line with a mode, in both.
_MODE = re.compile(r"^mode: enforce .*$", re.MULTILINE)
_AUDIT = "mode: audit                     # enforce: refuse what would only be counted now"


@click.group()
@runtime_dir_option
def policy(**_options: object) -> None:
    """Check or show a policy file, or write one to start from."""


@policy.command()
@click.option(
    "--output", default=DEFAULT_POLICY, show_default=True, help="The file to write; - prints it."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.ENFORCE.value,
    show_default=True,
    help="What happens to what it does not permit.",
)
@any_runtime_dir_option
def init(output: str, mode: str, *, force: bool) -> None:
    """Write a policy that permits Docker Hub. Comments in it show the rest."""
    text = data_text("template.yaml")
    if mode == Mode.AUDIT.value:
        text = _MODE.sub(_AUDIT, text)
    if output == "-":
        click.echo(text, nl=False)
        return
    write_policy(output, text, replace=force)
    click.echo(f"wrote {output}: edit it, then check it with enforcer policy validate {output}")


@policy.command()
@click.argument("file", default=DEFAULT_POLICY)
@json_option
@any_runtime_dir_option
@click.pass_context
def validate(context: click.Context, file: str, *, as_json: bool) -> None:
    """Check FILE and report what is wrong with it.

    That of the service may be changed by root alone. Exits 2 if anything is
    wrong. With --json, all of it is in the document.
    """
    try:
        found = read_policy(file, enforced=file == DEFAULT_POLICY)
    except PolicyError as exc:
        if not as_json:
            raise
        problems = [dataclasses.asdict(problem) for problem in exc.problems]
        click.echo(json.dumps({"path": file, "valid": False, "problems": problems}, indent=2))
        context.exit(exc.exit_code)
    if as_json:
        document = {"path": file, "valid": True, "problems": [], "digest": found.digest}
        click.echo(json.dumps(document, indent=2))
        return
    click.secho(f"{file}: valid", fg="green")
    click.echo(_summary(found))


@policy.command()
@click.argument("file", default=DEFAULT_POLICY)
@json_option
@any_runtime_dir_option
def show(file: str, *, as_json: bool) -> None:
    """Show what FILE permits. Presets are resolved, and equal hosts merged."""
    found = read_policy(file)
    if as_json:
        document = {"path": file, **describe(found), "digest": found.digest}
        click.echo(json.dumps(document, indent=2))
        return
    click.secho(_summary(found), bold=True)
    for line in _details(found):
        click.echo(line)


@policy.command()
@click.argument("old")
@click.argument("new", default=DEFAULT_POLICY)
@json_option
@any_runtime_dir_option
def diff(old: str, new: str, *, as_json: bool) -> None:
    """Show what NEW permits and OLD does not, and the reverse.

    Both are policy files. Presets are resolved, and what permits a host does not
    matter: a preset, or an entry of its own.
    """
    found = compare(read_policy(old), read_policy(new))
    if as_json:
        document = {"old": old, "new": new, "same": found.same, **dataclasses.asdict(found)}
        click.echo(json.dumps(document, indent=2))
        return
    for mark, colour, lines in (
        ("+", "green", found.added),
        ("-", "red", found.removed),
        ("~", "yellow", found.changed),
    ):
        for line in lines:
            click.secho(f"{mark} {line}", fg=colour)
    if found.same:
        click.echo("both permit the same")


@policy.command()
@any_runtime_dir_option
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(dialect | PolicyFile.model_json_schema(), indent=2))


policy.add_command(lint)
policy.add_command(suggest)


def _summary(found: Policy) -> str:
    hosts, networks = len(found.hosts), len(found.networks)
    if found.mode is Mode.AUDIT:
        effect = "counts what it would deny, and denies nothing"
    elif hosts or networks:
        effect = "denies everything else"
    else:
        effect = "denies everything: no registry can be reached"
    permits = f"permits {counted(hosts, 'host')} and {counted(networks, 'network')}"
    return f"{found.organization} {permits}\n{found.mode.value}: {effect}"


def _details(found: Policy) -> Iterator[str]:
    by_origin = sorted(found.hosts, key=lambda host: host.origin)  # stable: by domain within
    for origin, hosts in itertools.groupby(by_origin, key=lambda host: host.origin):
        yield f"\nfrom {origin}"
        for host in hosts:
            yield from _host(host)
    if found.networks:
        yield "\nnetworks, every port"
        yield from (f"{INDENT}{network}" for network in found.networks)
    resolvers = "system" if found.resolvers is None else ", ".join(map(str, found.resolvers))
    yield f"\nresolvers  {resolvers}"
    yield f"lifetime   TTL, at least {found.min_ttl_s} s, and {found.grace_s} s of grace"
    if found.watch:
        yield "watch      put in force by itself when it changes"
    if found.metrics_port is not None:
        yield f"metrics    on 127.0.0.1 port {found.metrics_port}"
    yield f"digest     {found.digest}"


def _host(host: Host) -> Iterator[str]:
    name = str(host.pattern)
    private = "private" if host.private else ""
    first, *more = textwrap.wrap(" ".join(map(str, host.ports)), PORTS_WIDTH)
    if len(name) > NAME_WIDTH:
        yield f"{INDENT}{name}"
        name = ""
    yield f"{INDENT}{name:{NAME_WIDTH}} {first:{PORTS_WIDTH}} {private}".rstrip()
    for ports in more:
        yield f"{INDENT}{'':{NAME_WIDTH}} {ports}"
