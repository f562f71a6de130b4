"""A policy from what was denied: presets where they match, hosts, and what can't be permitted.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import learnable
from enforcer.core.denial_words import protocol
from enforcer.core.destinations import DNS_PORT, TCP, UDP
from enforcer.core.grants import Grant, Grants
from enforcer.core.host_and_port import HTTPS
from enforcer.core.hostname import InvalidHostname, Pattern, parse_pattern
from enforcer.core.presets import Argument, Preset, entry_text, serving
from enforcer.core.wanted import Wanted
from enforcer.core.wording import counted, printable


@dataclass(frozen=True)
class SuggestedPreset:
    """An entry under `registries`, and the hosts that speak for it."""

    text: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class SuggestedHost:
    """An entry under `hosts`.

    Attributes:
        host: the name.
        ports: in order.
        private: its addresses are, or some of them.
        packets: that were denied.
        processes: that asked.
    """

    host: str
    ports: tuple[int, ...]
    private: bool
    packets: int
    processes: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """What no entry is suggested for, and why."""

    wanted: Wanted
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """What to add to a policy, so that what was denied is permitted."""

    registries: tuple[SuggestedPreset, ...]
    hosts: tuple[SuggestedHost, ...]
    left: tuple[Left, ...]


def suggest(found: Iterable[Wanted], grants: Grants) -> Suggestion:
    """Return what *grants* would need to permit what was *found* denied."""
    named: dict[Pattern, list[Wanted]] = {}
    left = []
    for wanted in found:
        pattern = _name(wanted.host)
        reason = _unfit(wanted, pattern)
        if pattern is None or reason:
            left.append(Left(wanted, reason))
            continue
        if not _permitted(wanted, grants.match_text(pattern.domain)):
            named.setdefault(pattern, []).append(wanted)
    chosen = _presets(named)
    registries = []
    by_presets: set[Pattern] = set()
    for preset, arguments in chosen:
        covered = _covered(preset.patterns(arguments), named)
        by_presets |= covered
        hosts = tuple(sorted(each.domain for each in covered))
        registries.append(SuggestedPreset(entry_text(preset, arguments), hosts))
    rest = {pattern: named[pattern] for pattern in named.keys() - by_presets}
    return Suggestion(
        tuple(registries),
        tuple(_host(pattern, rest[pattern]) for pattern in sorted(rest, key=Pattern.sort_key)),
        tuple(left),
    )


def _name(host: str) -> Pattern | None:
    try:
        pattern = parse_pattern(host)
    except InvalidHostname:
        return None
    # A label may be "*": whoever asks for such a name asks for no other.
    return None if pattern.wildcard else pattern


def _unfit(wanted: Wanted, name: Pattern | None) -> str:
    """Return why no host can be suggested for *wanted*; empty if one can."""
    reasons = {
        "DNS goes to the policy's resolvers alone": wanted.port == DNS_PORT
        and wanted.protocol in {TCP, UDP},
        "QUIC: clients go on with TCP": wanted.protocol == UDP and wanted.port == HTTPS,
        "a host is permitted for TCP alone": wanted.protocol != TCP,
        "no name was answered for it": not wanted.host,
        "no host can have this name": name is None,
        "no host may have this address": not learnable(wanted.address, private=True),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _permitted(wanted: Wanted, grant: Grant | None) -> bool:
    if grant is None or wanted.port not in grant.ports:
        return False
    return grant.private or not wanted.private


def _presets(
    named: dict[Pattern, list[Wanted]],
) -> Sequence[tuple[Preset, dict[str, Argument]]]:
    found: dict[str, tuple[Preset, dict[str, Argument]]] = {}
    for pattern, wanted in named.items():
        known = serving(pattern.domain)
        if known is not None and _is_plain(wanted):
            found.setdefault(entry_text(*known), known)
    return [found[text] for text in sorted(found)]


def _covered(patterns: Iterable[Pattern], named: dict[Pattern, list[Wanted]]) -> frozenset[Pattern]:
    patterns = tuple(patterns)
    return frozenset(
        pattern
        for pattern, wanted in named.items()
        if _is_plain(wanted) and any(each.covers(pattern) for each in patterns)
    )


def _is_plain(wanted: Iterable[Wanted]) -> bool:
    """Tell whether an entry of a preset permits all of it."""
    return all(each.port == HTTPS and not each.private for each in wanted)


def in_yaml(found: Suggestion) -> tuple[str, ...]:
    """Return *found* as lines of a policy file, with what speaks for them as comments."""
    lines = []
    if found.registries:
        lines.append("registries:")
        lines += [f"  - {each.text}  # {', '.join(each.hosts)}" for each in found.registries]
    if found.hosts:
        lines.append("hosts:")
        for each in found.hosts:
            lines += _entry(each)
    lines += [f"# not suggested: {_in_words(each)}" for each in found.left]
    return tuple(lines)


def _entry(host: SuggestedHost) -> Iterator[str]:
    by = f", by {', '.join(host.processes)}" if host.processes else ""
    why = printable(f"  # {counted(host.packets, 'packet')}{by}")
    if len(host.ports) == 1 and not host.private:
        (port,) = host.ports
        yield f"  - {host.host}{'' if port == HTTPS else f':{port}'}{why}"
        return
    yield f"  - host: {host.host}{why}"
    yield f"    ports: [{', '.join(map(str, host.ports))}]"
    if host.private:
        yield "    private: true"


def _in_words(left: Left) -> str:
    wanted = left.wanted
    shown = f"[{wanted.address}]" if wanted.address.version == 6 else wanted.address  # noqa: PLR2004
    place = f"{shown}:{wanted.port}" if wanted.port else str(shown)
    name = f" ({wanted.host})" if wanted.host else ""
    what = f"{protocol(wanted.protocol)} to {place}{name}, {counted(wanted.packets, 'packet')}"
    return printable(f"{what}: {left.reason}")


def _host(pattern: Pattern, wanted: Sequence[Wanted]) -> SuggestedHost:
    return SuggestedHost(
        pattern.domain,
        tuple(sorted({each.port for each in wanted})),
        any(each.private for each in wanted),
        sum(each.packets for each in wanted),
        tuple(dict.fromkeys(name for each in wanted for name in each.processes)),
    )
