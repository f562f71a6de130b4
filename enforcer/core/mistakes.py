"""What to tell the operator about a document that is no policy.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from enforcer.core.document import Mapping, Sequence, Unusable, Value
from enforcer.core.faults import Fault, Faulty
from enforcer.core.wording import described, printable, quoted, suggestion
from enforcer.errors import PolicyProblem

Path: TypeAlias = tuple[str | int, ...]

# Each place in a policy file: what it must hold, and a way to write it. An
# index in a list is "[]" here.
PLACES: dict[Path, tuple[str, str]] = {
    (): ("a mapping with the keys version, organization and others", "start with version: 1"),
    ("version",): ("the number 1", "write version: 1"),
    ("organization",): ("a name of 1 to 100 characters", "write organization: acme"),
    ("mode",): ("enforce or audit", "write mode: enforce"),
    ("registries",): ("a list of presets", "write registries: [docker-hub, ghcr]"),
    ("hosts",): ("a list of hosts", "write hosts: [registry.example.com]"),
    ("hosts", "[]"): (
        "a name, or a mapping with host, ports and private",
        "write registry.example.com:5000",
    ),
    ("hosts", "[]", "host"): ("a name", 'write host: "*.example.com"'),
    ("hosts", "[]", "ports"): ("a list of ports", "write ports: [443]"),
    ("hosts", "[]", "ports", "[]"): ("a port, from 1 to 65535", "write ports: [443]"),
    ("hosts", "[]", "private"): ("true or false", "write private: true"),
    ("networks",): ("a list of networks", "write networks: [10.20.0.0/16]"),
    ("resolvers",): (
        "system or a list of addresses",
        "write resolvers: system, or resolvers: [10.0.0.53]",
    ),
    ("dns",): ("a mapping with min_ttl and grace", "write dns: {min_ttl: 60, grace: 300}"),
    ("dns", "min_ttl"): ("a number of seconds from 0 to 86400", "write min_ttl: 60"),
    ("dns", "grace"): ("a number of seconds from 0 to 86400", "write grace: 300"),
    ("watch",): ("true or false", "write watch: true"),
    ("metrics",): ("a mapping with port", "write metrics: {port: 9653}"),
    ("metrics", "port"): ("a port, from 1024 to 65535", "write metrics: {port: 9653}"),
}

# Where policy_form.py has a Discriminator.
SEVERAL_FORMS: frozenset[Path] = frozenset({("hosts", "[]"), ("resolvers",)})


def mistakes(root: Value, error: ValidationError) -> Iterator[PolicyProblem]:
    """Yield the problems in *error*, which validating *root* raised, with their lines."""
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"])
        for fault in _faults(detail, path):
            problem = problem_at(root, (*path, *fault.at), fault)
            if problem:
                yield problem


def problem_at(root: Value, path: Path, fault: Fault) -> PolicyProblem | None:
    """Return *fault* as the problem of what is at *path*, or None if that has been reported."""
    node, line, key = root, 0, ""
    if isinstance(root, Mapping | Sequence):
        line = root.line
    for step in path:
        key += f"[{step}]" if isinstance(step, int) else f".{printable(step)}"
        if isinstance(node, Sequence) and isinstance(step, int):
            line = node.lines[step]
            node = node[step]
        elif isinstance(node, Mapping) and isinstance(step, str):
            # What is missing is reported where it should be.
            line = node.line_of(step) if step in node else line
            node = node.get(step)
    if isinstance(node, Unusable):
        return None
    return PolicyProblem(line, key.removeprefix("."), fault.reason, fault.hint)


def _faults(detail: ErrorDetails, path: Path) -> tuple[Fault, ...]:
    """Return what *detail* says, in our words."""
    if detail["type"] == "value_error":
        error = detail["ctx"]["error"]
        if isinstance(error, Faulty):
            return error.faults
    if detail["type"] == "extra_forbidden":
        unknown, known = str(path[-1]), _keys(path[:-1])
        return (Fault((), f"{quoted(unknown)} is no key", suggestion(unknown, known)),)
    must_be, way = PLACES[_place(path)]
    if detail["type"] == "missing":
        return (Fault((), f"missing, must be {must_be}", way),)
    found = "an empty list" if detail["input"] == [] else described(detail["input"])
    return (Fault((), f"must be {must_be}, not {found}", way),)


def _path(loc: Path) -> Path:
    """Return *loc* without the names of forms that pydantic puts into it."""
    path: Path = ()
    steps = iter(loc)
    for step in steps:
        path = (*path, step)
        if _place(path) in SEVERAL_FORMS:
            next(steps, None)
    return path


def _place(path: Path) -> Path:
    return tuple("[]" if isinstance(step, int) else step for step in path)


def _keys(path: Path) -> tuple[str, ...]:
    """Return the keys that the mapping at *path* may have."""
    place = _place(path)
    below = (other for other in PLACES if other[:-1] == place and other)
    return tuple(str(other[-1]) for other in below)
