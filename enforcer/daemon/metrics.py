"""What there is to measure, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from enforcer import __version__
from enforcer.abi import MAX_LEARNED
from enforcer.core.histogram import Histogram

# https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Of a lookup: a cache beside us, a resolver of the site, one that is far, one that is silent.
LATENCY_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Resolvers come and go with networks.
MAX_RESOLVERS = 16


@dataclass(frozen=True)
class ProgramTimes:
    """How long a program ran in all, while statistics were on (kernel.bpf_stats_enabled)."""

    seconds: float
    runs: int


class Latencies:
    """How long resolvers took to answer, by their addresses; failures count as they end."""

    def __init__(self) -> None:
        self._found: dict[str, Histogram] = {}

    def add(self, resolver: str, seconds: float) -> None:
        """Count an exchange with *resolver*."""
        histogram = self._found.pop(resolver, None) or Histogram(LATENCY_BOUNDS_S)
        histogram.add(seconds)
        self._found[resolver] = histogram
        while len(self._found) > MAX_RESOLVERS:
            del self._found[next(iter(self._found))]

    def __iter__(self) -> Iterator[tuple[str, Histogram]]:
        return iter(sorted(self._found.items()))


@dataclass(frozen=True)
class Readings:
    """What is measured.

    Attributes:
        status: the document of `enforcer status --json`.
        reloads: so many, by their result.
        repairs: so many in all.
        latencies: of resolvers.
        programs: run times by name.
    """

    status: Mapping[str, Any]
    reloads: Mapping[str, int]
    repairs: int
    latencies: Latencies
    programs: Mapping[str, ProgramTimes]


def exposition(readings: Readings) -> bytes:
    """Return *readings* as Prometheus reads them, and what the process itself uses."""
    # 2 MB that only those who scrape need.
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Collector(readings))
    text: bytes = generate_latest(registry)
    return text


class _Collector:
    """Hands *readings* to prometheus_client."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core  # noqa: PLC0415 - as above

        for kind, name, about, labels, values in _families(self._readings):
            family: Any = getattr(core, f"{kind.capitalize()}MetricFamily")
            made = family(name, about, labels=labels)
            for key, value in values.items():
                made.add_metric(key, value)
            yield made
        histogram_family: Any = core.HistogramMetricFamily
        latency = histogram_family(
            "enforcer_resolver_latency_seconds",
            "Time that a resolver took to answer a lookup of the daemon.",
            labels=("resolver",),
        )
        for resolver, histogram in self._readings.latencies:
            buckets = [("+Inf" if b == float("inf") else str(b), n) for b, n in histogram]
            latency.add_metric((resolver,), buckets=buckets, sum_value=histogram.total)
        yield latency


_Family = tuple[str, str, str, tuple[str, ...], dict[tuple[str, ...], float]]


def _families(readings: Readings) -> Iterator[_Family]:
    """Yield kind, name, help, labels, and values by those of the labels."""
    status = readings.status
    policy, denied, learning = status["policy"], status["denied"], dict(status["learning"])
    gave_way = learning.pop("gave_way")

    def gauge(name: str, about: str, value: float) -> _Family:
        return "gauge", f"enforcer_{name}", about, (), {(): value}

    def counter(name: str, about: str, value: float) -> _Family:
        return "counter", f"enforcer_{name}", about, (), {(): value}

    labels = (__version__, policy["organization"], status["mode"] or "none")
    yield (
        "gauge",
        "enforcer_info",
        "The daemon and its policy; always 1.",
        ("version", "organization", "mode"),
        {labels: 1.0},
    )
    yield gauge("enforcing", "1 if what is not permitted is denied.", status["enforcing"])
    yield gauge("healthy", "1 if nothing stands in the way.", status["healthy"])
    yield gauge("problems", "What `enforcer status` shows as problems.", len(status["problems"]))
    yield gauge("policy_hosts", "Hosts in the policy, wildcards counted once.", policy["hosts"])
    loaded = datetime.fromisoformat(policy["loaded_at"]).timestamp()
    yield gauge("policy_loaded_timestamp_seconds", "When the policy was put in force.", loaded)
    if proved := status["proof"]["at"]:
        about = "When probes last showed what the ruleset does."
        yield gauge("proved_timestamp_seconds", about, datetime.fromisoformat(proved).timestamp())
    yield gauge("addresses", "Addresses and ports that are open.", status["addresses"])
    yield gauge("addresses_limit", "As many can be open.", MAX_LEARNED)
    yield counter("addresses_gave_way", "Closed before their end to make room.", gave_way)
    if denied["total"] is not None:
        about = "Packets denied, or in audit mode that would be."
        yield counter("denied_packets", about, denied["total"])
    yield counter("denials_unrecorded", "Denied packets logged and not recorded.", denied["lost"])
    yield (
        "counter",
        "enforcer_learning",
        "What the programs saw and did: see docs/metrics.md.",
        ("event",),
        {(event,): count for event, count in learning.items()},
    )
    yield (
        "counter",
        "enforcer_reloads",
        "Reloads of the policy, by their result.",
        ("result",),
        {(result,): count for result, count in readings.reloads.items()},
    )
    yield counter("repairs", "What somebody had changed and was put back.", readings.repairs)
    seconds = {name: times.seconds for name, times in readings.programs.items()}
    runs = {name: float(times.runs) for name, times in readings.programs.items()}
    for what, about, values in (
        ("run_seconds", "Time that programs ran.", seconds),
        ("runs", "How often programs ran.", runs),
    ):
        yield (
            "counter",
            f"enforcer_program_{what}",
            f"{about} Only counted while kernel.bpf_stats_enabled is 1.",
            ("program",),
            {(name,): value for name, value in values.items()},
        )
