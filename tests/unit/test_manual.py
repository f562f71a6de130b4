"""The manual page: made of the command line, so that it says what `--help` says."""

from __future__ import annotations

import shutil
import subprocess

import click
import pytest

from deb.manual import manual
from enforcer.cli.main import COMMANDS, cli

PAGE = manual(cli, "1.2.3")


def test_every_command_and_option_is_in_the_manual() -> None:
    """With its help, whoever adds one."""

    def walk(group: click.Group, context: click.Context) -> None:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            below = click.Context(command, info_name=name, parent=context)
            if isinstance(command, click.Group):
                walk(command, below)
                continue
            assert f".SS {below.command_path} " in PAGE
            for option in command.params:
                for spelled in option.opts:
                    if isinstance(option, click.Option) and not option.hidden:
                        assert spelled.replace("-", "\\-") in PAGE

    walk(cli, click.Context(cli, info_name="enforcer", **cli.context_settings))
    assert len(COMMANDS) > 5
    assert "1.2.3" in PAGE.splitlines()[0]


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_the_manual_is_shown_without_a_warning() -> None:
    """Names of options have the dashes that people type, and no line begins a macro by chance."""
    shown = subprocess.run(
        ("man", "--warnings", "--local-file", "-"),
        input=PAGE,
        capture_output=True,
        check=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    assert shown.stderr == ""
    assert "--runtime-dir" in shown.stdout
    assert "enforcer off [OPTIONS]" in shown.stdout
