"""Entries under `registries`: the presets that an operator chose. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enforcer.core.faults import Fault, Faulty
from enforcer.core.hostname import Pattern
from enforcer.core.presets import entry_text, presets, serving
from enforcer.core.target import api_host
from enforcer.core.wording import described, quoted, suggestion


@dataclass(frozen=True)
class Choice:
    """A preset that an operator chose, and the hosts that it stands for there."""

    preset: str
    patterns: tuple[Pattern, ...]


def choose(entry: object) -> Choice:
    """Read an entry under `registries`: a name, or a mapping from it to the parameters.

    Raises:
        Faulty: with all that is wrong with it.
    """
    name, arguments = _name_and_arguments(entry)
    at = () if isinstance(entry, str) else (name,)
    if name not in presets():
        hint = suggestion(name, presets())
        if known := serving(api_host(name.lower())):
            hint = f"write {entry_text(*known)}"
        elif "." in name:
            hint = "a registry that isn't a preset goes under hosts:"
        raise Faulty(Fault(at, f"{quoted(name)} is no preset", hint))
    if not isinstance(arguments, Mapping):
        reason = f"the parameters of {name} must be a mapping, not {described(arguments)}"
        raise Faulty(Fault(at, reason, f"write {presets()[name].written()}"))
    faults = presets()[name].faults(arguments)
    found = tuple(Fault((*at, *fault.at), fault.reason, fault.hint) for fault in faults)
    if found:
        raise Faulty(*found)
    return Choice(name, presets()[name].patterns(arguments))


def _name_and_arguments(entry: object) -> tuple[str, object]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        [(name, arguments)] = entry.items()
        return name, {} if arguments is None else arguments
    reason = f"must be a preset, not {described(entry)}"
    hint = f"write ghcr, or {presets()['ecr'].written()}"
    if isinstance(entry, Mapping) and entry:
        reason = f"must be one preset, not a mapping of {len(entry)} keys"
        hint = "indent the parameters of a preset below its name"
    raise Faulty(Fault((), reason, hint))


def entries_schema() -> dict[str, Any]:
    """Return the JSON Schema of an entry under `registries`."""
    plain = [name for name, preset in presets().items() if not preset.required()]
    return {
        "oneOf": [
            {"type": "string", "enum": plain},
            {
                "type": "object",
                "properties": {name: preset.schema() for name, preset in presets().items()},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }
