"""What a run shows, as tables and as a document. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bench.results import Goal, Table, at_most
from chaos.judgement import FAILED, PASSED, Cut, Fault, Window
from chaos.kinds import DENIED, KINDS, PERMITTED
from chaos.run import Outcome

SHOWN = 20
_REPAIRED = {
    Cut.TABLE: "table put back, longest",
    Cut.BEGUN: "what began meanwhile ended, longest",
    Cut.LEARNING: "programs put back, longest",
    Cut.RESOLVER: "resolver followed, longest",
}


def tables(outcome: Outcome) -> tuple[Table, ...]:
    """Return the tables for a terminal."""
    return tuple(_tables(outcome))


def _tables(outcome: Outcome) -> Iterator[Table]:
    yield _connections(outcome)
    yield _kept(outcome)
    yield _events(outcome)
    if outcome.record.windows:
        yield _windows(outcome)
    if outcome.unexcused:
        yield _faults(outcome)


def goals(outcome: Outcome) -> list[Goal]:
    """Return what is to be reached, and whether it is."""
    return [*right(outcome), *in_time(outcome)]


def right(outcome: Outcome) -> list[Goal]:
    """Return the goals that no load of a machine is an excuse for."""
    unexcused = Counter(fault.what for fault in outcome.unexcused)
    return [
        _none("denied connections that passed", unexcused[PASSED]),
        _none("permitted connections that failed", unexcused[FAILED]),
        _none("daemons that died or erred", len(outcome.record.complaints)),
        _none("packets that the witness missed", outcome.missed),
    ]


def in_time(outcome: Outcome) -> list[Goal]:
    """Return the goals that what was cut is whole again in time."""
    found = []
    for cut, figure in _REPAIRED.items():
        mine = [window for window in outcome.record.windows if window.cut is cut]
        if mine:
            bound_s = max(window.bound_s or 0.0 for window in mine)
            longest_s = max(window.lasted_s for window in mine)
            found.append(at_most(figure, f"<= {bound_s:g} s", ("{:.3f} s", bound_s, longest_s)))
    return found


def document(outcome: Outcome) -> dict[str, Any]:
    """Return everything, for JSON; times are seconds since the beginning."""
    record, began = outcome.record, outcome.began
    return {
        "elapsed_s": outcome.elapsed_s,
        "opened": outcome.opened,
        "rate": outcome.opened / outcome.elapsed_s,
        "skipped": outcome.skipped,
        "arrivals": outcome.arrivals,
        "missed": outcome.missed,
        "counts": outcome.counts,
        "echoes": outcome.echoes,
        "events": [
            {"kind": kind, "target": target, "at_s": start - began, "lasted_s": end - start}
            for kind, target, start, end in record.events
        ],
        "windows": [
            {
                "cut": window.cut.value,
                "places": window.places,
                "at_s": window.began - began,
                "lasted_s": window.lasted_s,
                "event": window.event,
                "excused": Counter(f.what for f in outcome.faults if f.window is window),
            }
            for window in record.windows
        ],
        "faults": [
            {
                "what": fault.what,
                "where": fault.where,
                "at_s": fault.at - began,
                "kind": fault.kind,
                "address": fault.address,
                "outcome": fault.outcome,
            }
            for fault in outcome.unexcused
        ],
        "complaints": record.complaints,
        "log": record.log,
        "goals": [vars(goal) for goal in goals(outcome)],
    }


def _none(figure: str, count: int) -> Goal:
    return at_most(figure, "0", ("{:.0f}", 0, count))


def _connections(outcome: Outcome) -> Table:
    rows = []
    for place, counts in outcome.counts.items():
        for kind in KINDS.values():
            mine: Counter[str] = Counter()
            for key, count in counts.items():
                name, _, result = key.split(" ", 2)
                if name == kind.name:
                    mine[result] += count
            mine_only = (kind.name, f"{kind.name} again")
            faults = [f for f in outcome.faults if f.where == place and f.kind in mine_only]
            excused = sum(fault.window is not None for fault in faults)
            rows.append(
                (
                    f"{place}, {kind.name}",
                    "yes" if kind in PERMITTED else "no" if kind in DENIED else "by turns",
                    f"{mine.total():,}",
                    f"{mine['connected']:,}",
                    f"{mine['ECONNREFUSED']:,}",
                    f"{excused:,}",
                    f"{len(faults) - excused:,}",
                )
            )
    rate = outcome.opened / outcome.elapsed_s
    title = f"{outcome.opened:,} connections, {rate:,.0f} a second, IPv4 and IPv6"
    head = ("from, to", "permitted", "opened", "made", "refused", "excused", "wrong")
    return Table(title, head, tuple(rows))


def _kept(outcome: Outcome) -> Table:
    rows = []
    for place, counts in outcome.echoes.items():
        for name in dict.fromkeys(key.split(" ", 1)[0] for key in sorted(counts)):
            mine = {key: count for key, count in counts.items() if key.split(" ", 1)[0] == name}
            echoed = sum(count for key, count in mine.items() if key.endswith("echoed"))
            faults = [f for f in outcome.faults if (f.where, f.kind) == (place, f"{name} live")]
            excused = sum(fault.window is not None for fault in faults)
            ended = sum(mine.values()) - echoed
            figures = (echoed, ended, excused, len(faults) - excused)
            rows.append((f"{place}, {name}", *(f"{figure:,}" for figure in figures)))
    head = ("from, to", "echoes", "ended", "excused", "wrong")
    return Table("Connections that were kept, one of each family", head, tuple(rows))


def _events(outcome: Outcome) -> Table:
    rows = []
    events = outcome.record.events
    for kind in dict.fromkeys(kind for kind, *_ in events):
        numbers = [number for number, event in enumerate(events) if event[0] == kind]
        lasted = [events[number][3] - events[number][2] for number in numbers]
        windows = [w for w in outcome.record.windows if w.event in numbers]
        wrong = sum(_event(outcome, fault) in numbers for fault in outcome.unexcused)
        rows.append(
            (
                kind,
                str(len(numbers)),
                f"{sum(lasted) / len(lasted):.2f}",
                f"{max(lasted):.2f}",
                _milliseconds(windows),
                str(sum(fault.window in windows for fault in outcome.faults if fault.window)),
                str(wrong),
            )
        )
    head = ("event", "times", "mean s", "longest s", "cut, longest ms", "excused", "wrong")
    return Table(f"{len(events)} events", head, tuple(rows))


def _windows(outcome: Outcome) -> Table:
    rows = []
    for window in outcome.record.windows:
        excused = Counter(fault.what for fault in outcome.faults if fault.window is window)
        rows.append(
            (
                f"{window.event} {outcome.record.events[window.event][0]}"
                if window.event < len(outcome.record.events)
                else f"{window.event}",
                window.cut.value,
                " ".join(window.places) if len(window.places) == 1 else "all",
                f"{window.began - outcome.began:.2f}",
                f"{window.lasted_s * 1000:,.0f}",
                str(excused[PASSED]),
                str(excused[FAILED]),
            )
        )
    head = ("event", "cut", "from", "at s", "ms", "passed", "failed")
    return Table("What was cut, until it was seen whole again", head, tuple(rows))


def _faults(outcome: Outcome) -> Table:
    rows = []
    for fault in outcome.unexcused[:SHOWN]:
        number = _event(outcome, fault)
        event = outcome.record.events[number] if number >= 0 else None
        rows.append(
            (
                f"{fault.at - outcome.began:.3f}",
                f"{number} {event[0]} {fault.at - event[2]:+.2f}" if event else "-",
                fault.where,
                fault.kind,
                fault.address,
                fault.outcome,
            )
        )
    shown = f", the first {SHOWN}" if len(outcome.unexcused) > SHOWN else ""
    title = f"{len(outcome.unexcused)} that nothing excuses{shown}"
    return Table(title, ("at s", "event, s", "from", "to", "address", "outcome"), tuple(rows))


def _event(outcome: Outcome, fault: Fault) -> int:
    """Return the number of the event that *fault* came after, or in; -1: before all."""
    return sum(began <= fault.at for _, _, began, _ in outcome.record.events) - 1


def _milliseconds(windows: Sequence[Window]) -> str:
    return f"{max(w.lasted_s for w in windows) * 1000:,.0f}" if windows else "-"
