"""The command ``check``: the kernel checks' report."""

from __future__ import annotations

import sys

import click

from enforcer.cli.options import IN_TESTS, any_runtime_dir_option, hide_options
from enforcer.kernel_checks import report, suite


@click.command(short_help="Tell whether this machine can enforce.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@any_runtime_dir_option
@hide_options
@click.pass_context
def check(
    context: click.Context,
    *,
    as_json: bool,
    hidden: tuple[str, ...],
    for_tests: bool,
) -> None:
    """Check whether this kernel and platform can enforce.

    Loads the kernel modules that takes, and changes nothing else.

    Exits 0, or 4 if something makes enforcement impossible.
    """
    findings = suite.examine(hidden, IN_TESTS if for_tests else ())
    text: str
    if as_json:
        text = report.as_json(findings)
    else:
        text = report.as_text(findings, report.Style.of(sys.stdout))
    code: int = findings.exit_code
    click.echo(text, nl=False)
    context.exit(code)
