"""Presets: the hosts that a pull from a well-known registry needs, as data.

Pure: no I/O but presets.yaml, which belongs to the code; no clock.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from enforcer.core.data import data_text
from enforcer.core.faults import Fault
from enforcer.core.hostname import Pattern, parse_pattern
from enforcer.core.wording import described, quoted, suggestion

Argument: TypeAlias = str | bool


class Purpose(enum.Enum):
    """What a registry's host is for, in the order of a pull."""

    API = "api"  # manifests: what an image reference names
    AUTH = "auth"  # tokens, for anonymous pulls too
    LAYERS = "layers"  # where the API redirects to
    SIGNATURES = "signatures"
    LOGIN = "login"  # signing in, and names that only redirect to the API


@dataclass(frozen=True)
class Parameter:
    """What an operator tells a preset.

    Attributes:
        pattern: what its text must match as a whole; None for a switch.
    """

    name: str
    description: str
    pattern: str | None
    example: Argument
    required: bool

    def accepts(self, value: object) -> bool:
        """Tell whether *value* is an argument for it."""
        if self.pattern is None:
            return isinstance(value, bool)
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None

    def written(self) -> str:
        """Return the parameter as an operator writes it, with the example."""
        if self.pattern is None:
            return f"{self.name}: true"
        return f'{self.name}: "{self.example}"'

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        kind = (
            {"type": "boolean"}
            if self.pattern is None
            else {"type": "string", "pattern": f"^({self.pattern})$"}
        )
        return {"description": self.description, "examples": [self.example], **kind}


@dataclass(frozen=True)
class PresetHost:
    """A host of a preset: its name, with `{parameter}` in it, and when it is needed."""

    template: str
    when: tuple[tuple[str, Argument], ...]
    purpose: Purpose

    def pattern(self, arguments: Mapping[str, Argument]) -> Pattern | None:
        """Return the host that *arguments* make of it, or None if they leave it out."""
        fields = {field for _, field, _, _ in string.Formatter().parse(self.template) if field}
        if not fields <= arguments.keys():
            return None
        if any(arguments.get(name) != value for name, value in self.when):
            return None
        # Too wide a wildcard stands behind a switch: whoever sets it means it.
        return parse_pattern(self.template.format(**arguments), shared=bool(self.when))


@dataclass(frozen=True)
class Preset:
    """A well-known registry.

    Attributes:
        sources: URLs of the documents that list the hosts.
        checked: when they were last read.
        note: limits of the list; may be empty.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    checked: dt.date
    note: str
    parameters: tuple[Parameter, ...]
    hosts: tuple[PresetHost, ...]

    def required(self) -> tuple[Parameter, ...]:
        """Return the parameters that it can't do without."""
        return tuple(p for p in self.parameters if p.required)

    def faults(self, arguments: Mapping[str, object]) -> Iterator[Fault]:
        """Yield what is wrong with *arguments*."""
        known = {p.name: p for p in self.parameters}
        for name, value in arguments.items():
            if name not in known:
                yield Fault(
                    (name,), f"{self.name} has no parameter {quoted(name)}", suggestion(name, known)
                )
            elif not known[name].accepts(value):
                wanted = known[name]
                reason = f"must be {wanted.description}, not {described(value)}"
                yield Fault((name,), reason, f"such as {wanted.written()}")
        missing = [p.name for p in self.required() if p.name not in arguments]
        if missing:
            yield Fault((), f"{self.name} needs {' and '.join(missing)}", f"write {self.written()}")

    def written(self) -> str:
        """Return an entry under `registries` as an operator writes it, with examples."""
        required = ", ".join(parameter.written() for parameter in self.required())
        return f"{self.name}: {{{required}}}"

    def patterns(self, arguments: Mapping[str, Argument]) -> tuple[Pattern, ...]:
        """Return the hosts to allow, given *arguments* without faults."""
        made = (host.pattern(arguments) for host in self.hosts)
        return tuple(pattern for pattern in made if pattern is not None)

    def serving(self, domain: str) -> dict[str, Argument] | None:
        """Return the arguments with which *domain* serves its API; None if it never does."""
        for host in self.hosts:
            if host.purpose is Purpose.API and (found := self._expression(host).fullmatch(domain)):
                return {**found.groupdict(), **dict(host.when)}
        return None

    def _expression(self, host: PresetHost) -> re.Pattern[str]:
        patterns = {p.name: p.pattern for p in self.parameters}
        made = ""
        for text, name, _, _ in string.Formatter().parse(host.template):
            made += re.escape(text)
            if name:  # the second time as the first
                made += (
                    f"(?P={name})" if f"(?P<{name}>" in made else f"(?P<{name}>{patterns[name]})"
                )
        return re.compile(made, re.IGNORECASE)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its arguments."""
        return {
            "description": self.description,
            "type": "object" if self.required() else ["object", "null"],
            "properties": {p.name: p.schema() for p in self.parameters},
            "required": [p.name for p in self.required()],
            "additionalProperties": False,
        }


@functools.cache
def presets() -> Mapping[str, Preset]:
    """Return all presets by name."""
    found: dict[str, Preset] = {}
    # Each start reads them: libyaml, where PyYAML was built with it, is ten times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name, entry in yaml.load(data_text("presets.yaml"), loader).items():  # noqa: S506
        own = _hosts(entry["hosts"])
        # Another registry's hosts are not what an image of this one names.
        included = (
            dataclasses.replace(host, purpose=Purpose.LAYERS)
            for other in entry.get("includes", ())
            for host in found[other].hosts
        )
        found[name] = Preset(
            name=name,
            description=entry["description"],
            sources=tuple(entry["sources"]),
            checked=entry["checked"],
            note=entry.get("note", ""),
            parameters=tuple(
                Parameter(
                    name=parameter,
                    description=about["description"],
                    pattern=about.get("pattern"),
                    example=about["example"],
                    required=about["required"],
                )
                for parameter, about in entry.get("parameters", {}).items()
            ),
            hosts=(*own, *included),
        )
    return found


def serving(domain: str) -> tuple[Preset, dict[str, Argument]] | None:
    """Return the preset whose API *domain* is, with its arguments; None if it is of none."""
    for preset in presets().values():
        arguments = preset.serving(domain)
        if arguments is not None:
            return preset, arguments
    return None


def entry_text(preset: Preset, arguments: Mapping[str, Argument]) -> str:
    """Return the entry under `registries` for *preset* with *arguments*, as YAML."""
    given = ", ".join(f"{name}: {_yaml(value)}" for name, value in arguments.items())
    return f"{preset.name}: {{{given}}}" if given else preset.name


def _yaml(value: Argument) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _hosts(entry: Mapping[str, Any]) -> tuple[PresetHost, ...]:
    return tuple(_host(host, Purpose(purpose)) for purpose in entry for host in entry[purpose])


def _host(entry: str | dict[str, Any], purpose: Purpose) -> PresetHost:
    if isinstance(entry, str):
        return PresetHost(entry, (), purpose)
    return PresetHost(entry["host"], tuple(entry["when"].items()), purpose)
