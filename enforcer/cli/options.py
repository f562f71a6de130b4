"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from enforcer.core.places import DEFAULT_STATE_DIR
from enforcer.edge.runtime import DEFAULT_RUNTIME_DIR, RUNTIME_DIR_VARIABLE

# A test enforces in namespaces of its own, where it is no matter what else it is in.
IN_TESTS = ("container",)


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
# Where there is one command line for all commands of an instance, it fits these too.
any_runtime_dir_option = click.option(
    "--runtime-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    expose_value=False,
    help="As for other commands; this one needs no daemon.",
)
state_dir_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the ruleset is kept that the next boot begins with. Default:"
    f" {DEFAULT_STATE_DIR}, or nowhere for another runtime directory than the default.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _hidden(
    context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    if value and not context.params.get("for_tests"):
        raise click.UsageError("--hide is for tests and takes --for-tests", context)
    if value:
        from enforcer.kernel_checks import suite  # noqa: PLC0415 - for tests alone

        known = {check.id for check in suite.CHECKS}
        if unknown := sorted(set(value) - known):
            raise click.UsageError(f'no check "{unknown[0]}" to hide', context)
    return value


def hide_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that hide what this kernel has, to see what becomes of it without."""
    hide = click.option(
        "--hide",
        "hidden",
        multiple=True,
        metavar="CHECK",
        callback=_hidden,
        hidden=True,
        help="Take what this check looks for as missing.",
    )
    allow = click.option(
        "--for-tests",
        is_flag=True,
        is_eager=True,
        hidden=True,
        help="Enforce in a container's namespaces too, and permit --hide.",
    )
    return hide(allow(command))


def state_of(state_dir: Path | None, runtime_dir: Path) -> Path | None:
    """Return the state directory of an instance; None: it has none."""
    if state_dir is None and runtime_dir == DEFAULT_RUNTIME_DIR:
        return Path(DEFAULT_STATE_DIR)
    return state_dir
