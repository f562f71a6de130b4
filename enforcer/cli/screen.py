"""Status on a terminal, laid out by rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from enforcer.cli.clock import local
from enforcer.cli.summary import Item, Summary, Tone, summarize

# Wider lines are read less well.
MAX_WIDTH = 100
LABEL_WIDTH = 10
MAX_DENIALS = 8
STYLES = {Tone.GOOD: "green", Tone.DOUBTFUL: "yellow", Tone.BAD: "red", Tone.PLAIN: ""}
BARS = {
    Tone.GOOD: "bold black on green",
    Tone.DOUBTFUL: "bold black on yellow",
    Tone.BAD: "bold white on red",
    Tone.PLAIN: "bold reverse",
}
SIGNS = {Tone.GOOD: "✓ ", Tone.DOUBTFUL: "! ", Tone.BAD: "✗ ", Tone.PLAIN: ""}


def console() -> Console:
    """Return where to show it."""
    made = Console(highlight=False)
    made.width = min(made.width, MAX_WIDTH)
    return made


def as_screen(report: dict[str, Any], *, signs: bool = True) -> Group:
    """Return *report*, a document of `enforcer status --json`, for a console.

    Args:
        report: the document.
        signs: the terminal has more than ASCII.
    """
    summary = summarize(report)
    return Group(*_parts(summary, SIGNS if signs else dict.fromkeys(Tone, "")))


def as_watched(report: dict[str, Any], *, signs: bool = True) -> Group:
    """Return the same with the latest denials, for a screen that can't be scrolled.

    What changes, and what is wrong, comes before what may not find room.
    """
    summary, shown = summarize(report), SIGNS if signs else dict.fromkeys(Tone, "")
    parts: list[RenderableType] = [_bar(summary, shown)]
    if summary.problems:
        parts += ["", _problems(summary)]
    if summary.packets is not None:
        parts += ["", _denials(summary)]
    if latest := report["denied"]["recent"][-MAX_DENIALS:]:
        parts += ["", _latest(latest[::-1])]
    for group in summary.what:
        parts += ["", _items(group, shown)]
    return Group(*parts)


def shows_signs(console: Console) -> bool:
    """Tell whether *console* has more than ASCII."""
    return console.encoding.lower().startswith("utf")


def _parts(summary: Summary, signs: dict[Tone, str]) -> Iterator[RenderableType]:
    yield _bar(summary, signs)
    for number, group in enumerate(summary.what):
        yield ""
        yield _items(group, signs)
        if number == 0 and summary.packets is not None:
            yield ""
            yield _denials(summary)
    if summary.problems:
        yield ""
        yield _problems(summary)


def _bar(summary: Summary, signs: dict[Tone, str]) -> RenderableType:
    bar = Table.grid(expand=True, padding=(0, 1), pad_edge=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    tone = summary.headline.tone
    bar.add_row(f"{signs[tone]}{summary.headline.text}", summary.organization, style=BARS[tone])
    return bar


def _items(group: tuple[Item, ...], signs: dict[Tone, str]) -> RenderableType:
    grid = _grid()
    before = ""
    for item in group:
        label = "" if item.label == before else item.label
        grid.add_row(label, Text(f"{signs[item.tone]}{item.text}", style=STYLES[item.tone]))
        before = item.label
    return grid


def _denials(summary: Summary) -> RenderableType:
    grid = _grid()
    colon = "; in the last hour:" if summary.denied else ""
    grid.add_row(summary.label, f"{summary.packets}{colon}")
    if not summary.denied:
        return grid
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold red")
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    table.add_column(style="dim", no_wrap=True)
    for each in summary.denied:
        table.add_row(str(each.packets), Text(each.what), Text(each.who), each.ago)
    if summary.more_denied:
        table.add_row("", f"and {summary.more_denied} more: enforcer denials --since 1h", "", "")
    return Group(grid, Padding(table, (0, 0, 0, LABEL_WIDTH + 3)))


def _latest(denials: list[dict[str, Any]]) -> RenderableType:
    grid = _grid()
    for denial in denials:
        time = local(denial["last"]).partition(" ")[2]
        grid.add_row(Text(time, style="dim"), Text(denial["text"]))
    return grid


def _problems(summary: Summary) -> RenderableType:
    lines: list[RenderableType] = []
    for text, hint in summary.problems:
        lines.append(Text(text))
        if hint:
            lines.append(Padding(Text(f"-> {hint}", style="dim"), (0, 0, 0, 2)))
    if summary.more_problems:
        lines.append(Text(f"and {summary.more_problems} more: enforcer status --json"))
    count = len(summary.problems) + summary.more_problems
    title = "1 problem" if count == 1 else f"{count} problems"
    return Panel(Group(*lines), title=title, title_align="left", border_style="yellow")


def _grid() -> Table:
    grid = Table.grid(expand=True, padding=(0, 2, 0, 1))
    grid.add_column(width=LABEL_WIDTH, style="cyan", no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    return grid
