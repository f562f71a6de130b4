"""The commands ``reload`` and ``off``: the ones that change what a daemon does."""

from __future__ import annotations

from pathlib import Path

import click

from enforcer.cli.options import runtime_dir_option, state_dir_option, state_of
from enforcer.cli.root import require_root
from enforcer.core.wording import counted
from enforcer.edge import client
from enforcer.edge.boot_ruleset import BootRuleset
from enforcer.edge.runtime import RuntimeDir
from enforcer.edge.unit import active_state
from enforcer.errors import NotRunning

# Who wants the machine open does not wait for what hangs.
OFF_TIMEOUT_S = 20.0


@click.command()
@runtime_dir_option
def reload(runtime_dir: Path) -> None:
    """Read the policy again and put it in force.

    A policy with mistakes changes nothing: they are shown, and the policy in
    force stays. Exits 1 or 2 then, and 3 if no daemon runs.
    """
    answer = client.request("POST", RuntimeDir(runtime_dir).socket, "/reload")
    click.echo(f"policy {answer['path']} in force: {counted(answer['hosts'], 'host')}")


@click.command(short_help="Stop, and remove all from the kernel.")
@runtime_dir_option
@state_dir_option
def off(runtime_dir: Path, state_dir: Path | None) -> None:
    """Stop enforcing: end the daemon and remove all it put in the kernel.

    Nothing is kept for the next boot either: it begins open, until a daemon is
    started. Works without a daemon too, on what a killed one left. Exits 3 if
    there is nothing to remove.
    """
    from enforcer.daemon import teardown  # noqa: PLC0415  netlink is not needed to print the help

    runtime, again = RuntimeDir(runtime_dir), False
    try:
        client.request("POST", runtime.socket, "/off", OFF_TIMEOUT_S)
    except client.Silent as exc:
        holder = runtime.holder()
        end = f"kill -9 {holder.pid if holder else 'the daemon'}, then off once more"
        raise client.Silent(exc.message, f"it may do so yet; to be sure: {end}") from exc
    except NotRunning as exc:
        require_root("off removes what is in the kernel")
        removed = teardown.remove_leftovers(runtime)
        kept = BootRuleset(state_of(state_dir, runtime_dir)).forget()
        if not (removed or kept):
            raise NotRunning("nothing to remove: enforcer does not enforce here") from exc
        again = active_state(runtime_dir) == "activating"
    click.echo("enforcement is off: this machine may reach any address")
    if again:
        click.echo(
            "but systemd starts a daemon in a moment; to prevent it: systemctl stop enforcer"
        )
