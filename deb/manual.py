"""The manual page enforcer(8), made of the command line itself.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

_ABOUT = """\
A root daemon that lets this machine, its users and the containers behind it reach only the
container registries that a policy lists, by name. It learns in the kernel, with eBPF, which
addresses DNS answered for permitted names, and has nftables refuse the rest. What it put into
the kernel works on when the daemon ends by anything else than
.BR "enforcer off" ,
Ctrl-C or
.BR "systemctl stop enforcer" .
"""
_FILES = {
    "/etc/enforcer/policy.yaml": "The policy.",
    "/run/enforcer": "What a running daemon has: its control socket, its lock, its record.",
    "/var/lib/enforcer/boot.nft": "The ruleset that the next boot begins with.",
}
_UNITS = {
    "enforcer.service": "The daemon.",
    "enforcer-early.service": "Loads the last ruleset at boot, before there is a network.",
}


def manual(group: click.Group, version: str) -> str:
    """Return the page in man(7)'s macros.

    Args:
        group: the command line.
        version: of the program.
    """
    context = click.Context(group, info_name="enforcer", **group.context_settings)
    lines = [
        f'.TH ENFORCER 8 "" "enforcer {version}" "System Administration"',
        ".SH NAME",
        "enforcer \\- let a machine reach only the container registries a policy lists",
        ".SH SYNOPSIS",
        ".B enforcer",
        ".RI [ OPTIONS ]",
        ".I COMMAND",
        ".RI [ ARGUMENTS ]",
        ".SH DESCRIPTION",
        _ABOUT.rstrip(),
        ".SH OPTIONS",
        *_options(group, context),
        ".SH COMMANDS",
        *_commands(group, context),
        ".SH UNITS",
        *_tagged(_UNITS),
        ".SH FILES",
        *_tagged(_FILES),
        ".SH EXIT STATUS",
        "0: done, or healthy, or allowed. 1: an error, or degraded, or denied. 2: called in a",
        "wrong way, or an invalid policy. 3: not running, or nothing to remove. 4: this kernel",
        "or platform is not supported. 141: the reader of the output left.",
        ".SH SEE ALSO",
        ".BR nft (8),",
        ".BR systemctl (1)",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, below)
            continue
        usage = " ".join(command.collect_usage_pieces(below))
        yield f".SS {_escaped(below.command_path)} {_escaped(usage)}"
        yield from _paragraphs(command.help or "")
        yield from _options(command, below)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    # Each command has --help, and its arguments are in its usage.
    said = {context.find_root().command}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        helps = parameter.name == "help" and command not in said
        if record is not None and isinstance(parameter, click.Option) and not helps:
            names, text = record
            yield from (".TP", f".B {_escaped(names)}", _escaped(text))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip().replace("\b", ""))):
        if number:
            yield ".PP"
        yield _escaped(" ".join(paragraph.split()))


def _tagged(items: dict[str, str]) -> Iterator[str]:
    for name, text in items.items():
        yield from (".TP", f".I {_escaped(name)}", _escaped(text))


def _escaped(text: str) -> str:
    """Return *text* as roff shows it: nothing in it is a macro, a dash is the one people type."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown
