"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from enforcer.core.places import DEFAULT_STATE_DIR
from enforcer.edge.runtime import DEFAULT_RUNTIME_DIR, RUNTIME_DIR_VARIABLE


def _given(context: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """Return the directory given after the command's name, or else before it."""
    name = parameter.name or ""
    after = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    if after or context.parent is None or name not in context.parent.params:
        return value
    before: Path = context.parent.params[name]
    return before


runtime_dir_option = click.option(
    "--runtime-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=DEFAULT_RUNTIME_DIR,
    callback=_given,
    envvar=RUNTIME_DIR_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="Where the daemon's control socket is.",
)
state_dir_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the ruleset is kept that the next boot begins with. Default:"
    f" {DEFAULT_STATE_DIR}, or nowhere for another runtime directory than the default.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def state_of(state_dir: Path | None, runtime_dir: Path) -> Path | None:
    """Return the state directory of an instance; None: it has none."""
    if state_dir is None and runtime_dir == DEFAULT_RUNTIME_DIR:
        return Path(DEFAULT_STATE_DIR)
    return state_dir
