"""Metrics: what is documented is what is told, and what dashboards and alerts ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from enforcer.abi import Stat
from enforcer.core.histogram import Histogram
from enforcer.daemon.metrics import MAX_RESOLVERS, Latencies, ProgramTimes, Readings, exposition

DOCS = Path(__file__).parents[2] / "docs"
NAME = re.compile(r"\benforcer_[a-z_]+")
NASTY = 'a "corp"\\\nrest'


def readings(**status: object) -> Readings:
    """Return readings, with parts of the status document replaced."""
    document: dict[str, Any] = {
        "enforcing": True,
        "healthy": False,
        "mode": "enforce",
        "problems": [{}, {}],
        "addresses": 7,
        "policy": {
            "organization": NASTY,
            "hosts": 3,
            "loaded_at": "2026-11-24T12:00:00+00:00",
        },
        "denied": {"total": 42, "lost": 1},
        "proof": {"at": "2026-11-24T12:00:05+00:00"},
        "learning": {stat.name.lower(): stat.value for stat in Stat} | {"gave_way": 5},
    }
    latencies = Latencies()
    for seconds in (0.0005, 0.02, 9.0):
        latencies.add("192.0.2.53", seconds)
    return Readings(
        status=document | status,
        reloads={"ok": 2, "failed": 1},
        repairs=4,
        latencies=latencies,
        programs={"dns_answer": ProgramTimes(0.25, 1000)},
    )


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the values in an exposition, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_is_read_is_told() -> None:
    """Each value under its name, and labels as they are, whatever is in them."""
    found = samples(exposition(readings()))
    assert found["enforcer_enforcing", ()] == 1
    assert found["enforcer_healthy", ()] == 0
    assert found["enforcer_problems", ()] == 2
    assert found["enforcer_denied_packets_total", ()] == 42
    assert found["enforcer_addresses_gave_way_total", ()] == 5
    assert found["enforcer_learning_total", (("event", "excess"),)] == Stat.EXCESS
    assert found["enforcer_reloads_total", (("result", "failed"),)] == 1
    assert found["enforcer_program_run_seconds_total", (("program", "dns_answer"),)] == 0.25
    assert found["enforcer_policy_loaded_timestamp_seconds", ()] == 1_795_521_600
    (info,) = (dict(labels) for name, labels in found if name == "enforcer_info")
    assert info["organization"] == NASTY


def test_latencies_are_a_histogram() -> None:
    """Each bound counts what is not above it; the last one everything."""
    found = samples(exposition(readings()))
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "enforcer_resolver_latency_seconds_bucket"
    }
    assert (buckets["0.0005"], buckets["0.01"], buckets["0.025"]) == (1, 1, 2)
    assert (buckets["2.5"], buckets["+Inf"]) == (2, 3)
    count = found["enforcer_resolver_latency_seconds_count", (("resolver", "192.0.2.53"),)]
    assert count == 3
    assert found["enforcer_resolver_latency_seconds_sum", (("resolver", "192.0.2.53"),)] == (
        pytest.approx(9.0205)
    )


def test_what_a_kernel_does_not_count_is_not_told_as_none() -> None:
    """Zero would be a claim."""
    found = samples(exposition(readings(denied={"total": None, "lost": 0})))
    assert ("enforcer_denied_packets_total", ()) not in found


def test_resolvers_are_a_few() -> None:
    """Of those that came and went, the last ones."""
    latencies = Latencies()
    for number in range(MAX_RESOLVERS + 5):
        latencies.add(f"192.0.2.{number}", 0.1)
    assert len(list(latencies)) == MAX_RESOLVERS
    assert "192.0.2.4" not in dict(latencies)


def test_a_histogram_counts_its_bounds() -> None:
    """A value that is a bound is not above it."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.5):
        histogram.add(value)
    assert list(histogram) == [(1.0, 2), (2.0, 3), (float("inf"), 4)]


def told() -> set[str]:
    """Return the names of all metrics that can be asked for."""
    families = text_string_to_metric_families(exposition(readings()).decode())
    return {sample.name for family in families for sample in family.samples}


def test_what_is_told_is_documented() -> None:
    """With its type, and nothing else is."""
    rows = re.findall(
        r"^\| `(enforcer_\w+)` \| (\w+) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    names = {name + end for name, kind in rows for end in suffixes.get(kind, ("",))}
    assert names == {name for name in told() if name.startswith("enforcer_")}
    for event in Stat:
        assert f"`{event.name.lower()}`" in (DOCS / "metrics.md").read_text()


def expressions() -> Iterator[str]:
    """Yield what alerts and the dashboard ask for."""
    for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "annotations"} <= rule.keys()
            yield rule["expr"]
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_alerts_and_dashboard_ask_for_what_is_told() -> None:
    """A name that nobody tells is an alert that never fires."""
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 10
    assert asked <= told()
