"""Metrics of a daemon in use, over the control socket."""

from __future__ import annotations

import socket

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.unit.test_metrics import samples

pytestmark = pytest.mark.root


def scraped(enforcer: Enforcer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what a scrape of *enforcer* finds."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(enforcer.runtime_dir / "control.sock"))
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert b" 200 OK" in head
    assert b"Content-Type: text/plain; version=0.0.4" in head
    return samples(body)


def test_what_happens_is_counted(shared_lab: Lab, enforcer: Enforcer) -> None:
    """Denied, learned, reloaded, and how long the resolver took."""
    before = scraped(enforcer)
    assert before["enforcer_enforcing", ()] == before["enforcer_healthy", ()] == 1
    host = shared_lab.net.host
    shared_lab.nameserver.fresh(FRESH_ZONE)
    made = connect_to_answers(host, FRESH_ZONE, family=4, count=20, label="metrics")
    assert made.ok == 20
    assert attempt(host, DENIED.addresses[0]).outcome == "ECONNREFUSED"
    enforcer.cli("reload")
    enforcer.policy_file.write_text("nonsense")
    enforcer.cli("reload", check=False)
    after = scraped(enforcer)

    def grown(name: str, **labels: str) -> float:
        key = name, tuple(labels.items())
        return after[key] - before[key]

    assert grown("enforcer_denied_packets_total") >= 1
    assert grown("enforcer_learning_total", event="learned") >= 20
    assert grown("enforcer_learning_total", event="lost") == 0
    assert grown("enforcer_reloads_total", result="ok") == 1
    assert grown("enforcer_reloads_total", result="failed") == 1
    assert after["enforcer_healthy", ()] == 0
    assert after["enforcer_addresses", ()] >= 20
    asked = [
        value
        for (name, _), value in after.items()
        if name == "enforcer_resolver_latency_seconds_count"
    ]
    assert sum(asked) >= 2
    assert after["process_resident_memory_bytes", ()] > 0
