"""The command ``status``: what is enforced here, from the kernel even without a daemon."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from enforcer.cli.options import json_option, runtime_dir_option
from enforcer.core.interfaces import Program, Role
from enforcer.edge import client
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import NotRunning

EXIT_HEALTHY, EXIT_DEGRADED, EXIT_NOT_RUNNING = 0, 1, 3
WIDTH = 79
INDENT = 13
EXEMPT = Role.EXEMPT.value
FORWARD_MARK = Program.FORWARD_MARK.value
MAX_PROBLEMS = 10  # so that the rest stays on the screen


@click.command()
@json_option
@runtime_dir_option
@click.pass_context
def status(context: click.Context, *, as_json: bool, runtime_dir: Path) -> None:
    """Show what is enforced, and what is wrong.

    Exits 0 if enforcing and healthy, 1 if degraded, 3 if the daemon is not
    running.
    """
    report = current(RuntimeDir(runtime_dir))
    click.echo(json.dumps(report, indent=2) if as_json else as_text(report))
    if not report["daemon"]["running"]:
        context.exit(EXIT_NOT_RUNNING)
    context.exit(EXIT_HEALTHY if report["healthy"] else EXIT_DEGRADED)


def current(runtime: RuntimeDir) -> dict[str, Any]:
    """Return what the daemon says, or the kernel where none answers.

    Raises:
        EnforcerError: neither can be asked, by a caller who is not root for one.
    """
    try:
        report: dict[str, Any] = client.request("GET", runtime.socket, "/status")
    except (NotRunning, client.Silent) as exc:
        if os.geteuid() != 0:
            raise
        return _without_daemon(runtime, silent=isinstance(exc, client.Silent))
    return report


def _without_daemon(runtime: RuntimeDir, *, silent: bool) -> dict[str, Any]:
    # After the attempt to ask a daemon, which needs none of them.
    from enforcer.edge.filters import Filters  # noqa: PLC0415
    from enforcer.edge.firewall import Firewall  # noqa: PLC0415
    from enforcer.edge.links import Links  # noqa: PLC0415
    from enforcer.kernel_checks import suite  # noqa: PLC0415
    from enforcer.status import read_kernel, report  # noqa: PLC0415

    firewall, links, filters = Firewall(), Links(), Filters()
    try:
        kernel = read_kernel(firewall.inspect(), firewall, links, filters, runtime)
        return report(kernel, suite.examine(), silent=silent)
    finally:
        filters.close()
        links.close()
        firewall.close()


def as_text(report: dict[str, Any]) -> str:
    """Return *report* for people."""
    daemon, policy = report["daemon"], report["policy"]
    rows = []
    if policy["digest"]:
        rows.append(("policy", f"{policy['organization']}, {policy['hosts']} hosts"))
        rows.append(("", f"loaded {policy['loaded_at']}, digest {policy['digest'][:12]}"))
    if daemon["running"]:
        up = _duration(daemon["uptime_s"])
        rows.append(("daemon", f"pid {daemon['pid']}, version {daemon['version']}, up {up}"))
    else:
        rows.append(("daemon", "none answers"))
    rows += [("proved", text) for text in _proved(report)]
    rows.append(("addresses", f"{report['addresses']} open"))
    if report["denied"]["total"] is not None:
        label = "would deny" if report["mode"] == "audit" else "denied"
        rows.append((label, f"{report['denied']['total']} packets"))
    if report["resolvers"]:
        rows.append(("resolvers", ", ".join(report["resolvers"])))
    rows.append(("interfaces", ", ".join(_interfaces(report["interfaces"]))))
    rows.append(("kernel", report["kernel"]["release"]))
    rows.append(("tier", report["kernel"]["tier"]))
    rows.append(("restricts", report["platform"]["scope"]))
    rows += [("note", note) for note in report["platform"]["notes"]]
    if reason := report["denied"]["without_processes"]:
        rows.append(("note", f"denials are told with their user, not their process: {reason}"))
    rows += [("repaired", _repair(each)) for each in report["repaired"]]
    lines = [_headline(report)]
    lines += [line for label, text in rows for line in _row(label, text)]
    problems = report["problems"]
    for problem in problems[:MAX_PROBLEMS]:
        lines += _row("problem", problem["text"], colour="yellow")
        if problem["hint"]:
            lines += _row("", f"-> {problem['hint']}")
    if (more := len(problems) - MAX_PROBLEMS) > 0:
        lines += _row("problems", f"and {more} more: enforcer status --json")
    return "\n".join(lines)


def _headline(report: dict[str, Any]) -> str:
    if not report["enforcing"]:
        if report["mode"] == "audit":
            return _styled("audit: nothing is denied, what would be is counted", "yellow")
        return _styled("not enforcing: this machine may reach any address", "red")
    if report["healthy"]:
        return _styled("enforcing, healthy", "green")
    if not report["daemon"]["running"]:
        whole = len(report["problems"]) == 1  # that there is no daemon
        rest = "still learning, still denying" if whole else "with problems"
        return _styled(f"enforcing without the daemon: {rest}", "yellow")
    return _styled("enforcing, with problems", "yellow")


def _proved(report: dict[str, Any]) -> Iterator[str]:
    proof = report["proof"]
    if not report["daemon"]["running"] and report["enforcing"]:
        yield "not without a daemon: this is read from the kernel, not tried"
    for each in proof["families"]:
        name = each["family"]
        if each["outcome"] == "proved":
            denied = "would be denied" if report["mode"] == "audit" else "denied"
            open_ = f"{each['accepted']} accepted" if each["accepted"] else "nothing is open yet"
            ago = _duration(proof["age_s"])
            yield f"{name}, {ago} ago: {each['denied']} {denied}, {open_}"
        elif each["outcome"] == "no route":
            yield f"{name}: no route leads out"
        else:
            yield f"{name}: {each['outcome']}"


def _repair(repair: dict[str, Any]) -> str:
    often = f" {repair['times']} times, last" if repair["times"] > 1 else ""
    return f"{repair['text']}; put back{often} at {repair['at']}"


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _styled(text: str, colour: str) -> str:
    return click.style(text, fg=colour, bold=True) if sys.stdout.isatty() else text


def _interfaces(interfaces: list[dict[str, Any]]) -> Iterator[str]:
    ports = 0
    for each in interfaces:
        if each["role"] == EXEMPT and not each["programs"]:
            ports += 1  # one for each container, mostly
            continue
        doing = ", learning" if each["learning"] else ""
        if FORWARD_MARK in each["programs"]:
            doing += ", containers"
        yield f"{each['name']} ({each['role']}{doing})"
    if ports:
        yield f"{ports} more exempt" if ports < len(interfaces) else f"{ports} exempt"


def _row(label: str, text: str, colour: str | None = None) -> list[str]:
    head = f"{label:<{INDENT - 1}} "
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=" " * INDENT, break_on_hyphens=False
    )
    if colour:
        lines[0] = _styled(lines[0][: len(label)], colour) + lines[0][len(label) :]
    return lines
