"""The help of every command, as a person has read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from enforcer.cli.main import cli
from tests.golden.golden import assert_golden

FOLDER = Path(__file__).parent / "help"
WIDTH = 80


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command below *group*."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_help_is_as_reviewed_and_fits_a_terminal(path: tuple[str, ...]) -> None:
    """`--help` says what it said when somebody last read it, below 80 columns."""
    result = CliRunner().invoke(
        cli, [*path, "--help"], terminal_width=WIDTH - 1, prog_name="enforcer"
    )
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) < WIDTH
    assert_golden(FOLDER / f"{'-'.join(('enforcer', *path))}.txt", result.output)
