"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from enforcer.edge.runtime import DEFAULT_RUNTIME_DIR, RUNTIME_DIR_VARIABLE

runtime_dir_option = click.option(
    "--runtime-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=DEFAULT_RUNTIME_DIR,
    envvar=RUNTIME_DIR_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="Where the daemon's control socket is.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
