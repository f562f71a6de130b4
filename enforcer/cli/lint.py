"""The command ``policy lint``: known traps."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import click

from enforcer.cli.options import any_runtime_dir_option, json_option
from enforcer.core.addresses import Address
from enforcer.core.lint import PolicyText
from enforcer.core.lint import lint as look_for_traps
from enforcer.core.places import DEFAULT_POLICY
from enforcer.core.policy import Policy, placed_hosts
from enforcer.edge.policy_file import read_policy, read_text
from enforcer.edge.resolvconf import NoResolver, system_resolvers
from enforcer.edge.surroundings import surroundings

ROOT = Path("/")


@click.command()
@click.argument("file", default=DEFAULT_POLICY)
@json_option
@any_runtime_dir_option
@click.pass_context
def lint(context: click.Context, file: str, *, as_json: bool) -> None:
    """Look for known traps in FILE, and on this machine beside it.

    Registries without the hosts of their layers, hosts that strangers share,
    presets that are old; Docker's mirrors, proxies and resolvers, DNS over TLS
    and entries of /etc/hosts that go round the policy or into it.

    Exits 0 without findings, 1 with some, 2 if FILE is not valid.
    """
    policy = read_policy(file, enforced=file == DEFAULT_POLICY)
    text = PolicyText(file, policy, placed_hosts(read_text(file)))
    today = datetime.datetime.now().astimezone().date()
    found = look_for_traps(text, _resolvers(policy), surroundings(ROOT), today)
    if as_json:
        document = {"path": file, "findings": [dataclasses.asdict(each) for each in found]}
        click.echo(json.dumps(document, indent=2))
    else:
        for each in found:
            click.echo(str(each))
        if not found:
            click.echo(f"{file}: no known trap")
    context.exit(1 if found else 0)


def _resolvers(policy: Policy) -> tuple[Address, ...]:
    if policy.resolvers is not None:
        return policy.resolvers
    try:
        return system_resolvers(ROOT).addresses
    except NoResolver:
        return ()
