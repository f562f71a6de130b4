"""What there is to say of a status document, in words and however it is laid out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from enforcer.cli.clock import local
from enforcer.core.interfaces import Program, Role
from enforcer.core.wording import counted

EXEMPT, GUARDED = Role.EXEMPT.value, Role.GUARDED.value
FORWARD_MARK = Program.FORWARD_MARK.value
AUDIT = "audit"
# So that the rest stays on the screen.
MAX_PROBLEMS = 10
MAX_HOSTS = 5


class Tone(Enum):
    """How good or bad it is."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True)
class Item:
    """One thing, and what it is about; items that follow of the same are told together."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Denied:
    """A host that was denied in the last hour."""

    packets: int
    what: str
    who: str
    ago: str


@dataclass(frozen=True)
class Summary:
    """All that is told.

    Attributes:
        headline: whether it enforces.
        organization: whose policy; empty where nobody says.
        what: is enforced, in groups of items.
        label: of what is, or would be, denied.
        packets: how many of that; None where there is nothing to tell.
        denied: hosts, and
        more_denied: how many others.
        problems: texts and remedies, and
        more_problems: how many others.
    """

    headline: Item
    organization: str
    what: tuple[tuple[Item, ...], ...]
    label: str
    packets: str | None
    denied: tuple[Denied, ...]
    more_denied: int
    problems: tuple[tuple[str, str | None], ...]
    more_problems: int


def summarize(report: dict[str, Any]) -> Summary:
    """Return what to tell of *report*, a document of `enforcer status --json`."""
    problems, hosts = report["problems"], report["denied"]["hosts"]
    groups = (_policy(report), _network(report), _machine(report), _repairs(report))
    return Summary(
        headline=_headline(report),
        organization=report["policy"]["organization"] or "",
        what=tuple(filter(None, map(tuple, groups))),
        label="would deny" if report["mode"] == AUDIT else "denied",
        packets=_packets(report["denied"]["total"], hosts),
        denied=tuple(map(_denied, hosts[:MAX_HOSTS])),
        more_denied=max(0, len(hosts) - MAX_HOSTS),
        problems=tuple((each["text"], each["hint"]) for each in problems[:MAX_PROBLEMS]),
        more_problems=max(0, len(problems) - MAX_PROBLEMS),
    )


def duration(seconds: float) -> str:
    """Return *seconds* in the largest units that matter."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _headline(report: dict[str, Any]) -> Item:
    if not report["enforcing"]:
        if report["mode"] == AUDIT:
            text = "nothing is denied, what would be is counted"
            problems = "" if report["healthy"] else ", with problems"
            return Item("", f"audit{problems}: {text}", Tone.DOUBTFUL)
        return Item("", "not enforcing: this machine may reach any address", Tone.BAD)
    if report["healthy"]:
        return Item("", "enforcing, healthy", Tone.GOOD)
    if not report["daemon"]["running"]:
        whole = len(report["problems"]) == 1  # that there is no daemon
        rest = "still learning, still denying" if whole else "with problems"
        return Item("", f"enforcing without the daemon: {rest}", Tone.DOUBTFUL)
    return Item("", "enforcing, with problems", Tone.DOUBTFUL)


def _policy(report: dict[str, Any]) -> Iterator[Item]:
    daemon, policy = report["daemon"], report["policy"]
    if policy["digest"]:
        yield Item("policy", f"{policy['organization']}, {counted(policy['hosts'], 'host')}")
        yield Item("policy", f"loaded {local(policy['loaded_at'])}, digest {policy['digest'][:12]}")
    if policy.get("changed"):
        yield Item("policy", "its file has changed since: sudo enforcer reload", Tone.DOUBTFUL)
    if daemon["running"]:
        up = duration(daemon["uptime_s"])
        yield Item("daemon", f"pid {daemon['pid']}, version {daemon['version']}, up {up}")
    else:
        yield Item("daemon", "none answers", Tone.DOUBTFUL)
    yield from _proved(report)
    if _is_there(report):
        yield Item("addresses", f"{report['addresses']} open")


def _proved(report: dict[str, Any]) -> Iterator[Item]:
    proof = report["proof"]
    if not report["daemon"]["running"] and report["enforcing"]:
        text = "not without a daemon: this is read from the kernel, not tried"
        yield Item("proved", text, Tone.DOUBTFUL)
    for each in proof["families"]:
        name = each["family"]
        if each["outcome"] == "proved":
            denied = "would be denied" if report["mode"] == AUDIT else "denied"
            open_ = f"{each['accepted']} accepted" if each["accepted"] else "nothing is open yet"
            ago = duration(proof["age_s"])
            yield Item(
                "proved", f"{name}, {ago} ago: {each['denied']} {denied}, {open_}", Tone.GOOD
            )
        elif each["outcome"] == "no route":
            yield Item("proved", f"{name}: no route leads out")
        else:
            yield Item("proved", f"{name}: {each['outcome']}", Tone.BAD)


def _is_there(report: dict[str, Any]) -> bool:
    """Tell whether anything is that could enforce."""
    return report["daemon"]["running"] or report["mode"] is not None


def _network(report: dict[str, Any]) -> Iterator[Item]:
    if not _is_there(report):
        return
    if report["resolvers"]:
        yield Item("resolvers", ", ".join(report["resolvers"]))
    for role in (GUARDED, EXEMPT):
        of_role = [each for each in report["interfaces"] if each["role"] == role]
        # One for each container, mostly.
        ports = [each for each in of_role if role == EXEMPT and not each["programs"]]
        names = [_interface(each) for each in of_role if each not in ports]
        if ports:
            names.append(f"{len(ports)} more" if names else f"{len(ports)} interfaces")
        if names:
            yield Item(role, ", ".join(names))


def _interface(each: dict[str, Any]) -> str:
    doing = ["learning"] if each["learning"] else []
    doing += ["containers"] if FORWARD_MARK in each["programs"] else []
    return f"{each['name']} ({', '.join(doing)})" if doing else str(each["name"])


def _machine(report: dict[str, Any]) -> Iterator[Item]:
    yield Item("kernel", report["kernel"]["release"])
    yield Item("tier", report["kernel"]["tier"])
    verb = "restricts" if _is_there(report) else "scope"
    yield Item(verb, report["platform"]["scope"])
    for note in report["platform"]["notes"]:
        yield Item("note", note)
    if reason := report["denied"]["without_processes"]:
        text = f"denials are told with their user, not their process: {reason}"
        yield Item("note", text)


def _repairs(report: dict[str, Any]) -> Iterator[Item]:
    for each in report["repaired"]:
        often = f" {each['times']} times, last" if each["times"] > 1 else ""
        text = f"{each['text']}; put back{often} at {local(each['at'])}"
        yield Item("repaired", text, Tone.DOUBTFUL)


def _packets(total: int | None, hosts: Collection[Any]) -> str | None:
    if total is None:  # no daemon, or no counter: hosts are told all the same
        return "packets are not counted" if hosts else None
    return counted(total, "packet")


def _denied(each: dict[str, Any]) -> Denied:
    name, port = each["host"] or each["address"], each["port"]
    place = f"[{name}]:{port}" if ":" in name and port else f"{name}:{port}" if port else name
    return Denied(
        each["packets"],
        place if each["protocol"] == "tcp" else f"{place}/{each['protocol']}",
        " and ".join(each["processes"]),
        f"{duration(each['age_s'])} ago",
    )
