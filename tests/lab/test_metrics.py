"""Metrics of a daemon in use, over the control socket."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.wait import until
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


@pytest.mark.needs("counter")
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


PORT = 9653


def test_a_port_of_the_loopback_has_them_if_the_policy_says_so(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """And nobody else's; taken, it is a problem and nothing more; another policy takes it away."""
    host = shared_lab.net.host
    plain = POLICY
    fetch = (
        "import sys, urllib.request\n"
        f"print(urllib.request.urlopen('http://127.0.0.1:{PORT}/metrics').read().decode())"
    )

    def listening() -> str:
        return host.run("ss", "-Hltn", f"sport = :{PORT}").stdout

    assert listening() == ""
    with host.call(lambda: socket.create_server(("127.0.0.1", PORT))):
        enforcer.put_in_force(f"{plain}metrics: {{port: {PORT}}}\n")
        status = enforcer.status()
        assert status["enforcing"]
        assert any(f"port {PORT}: " in each["text"] for each in status["problems"])
        assert attempt(host, DENIED.addresses[0]).outcome == "ECONNREFUSED"
    until(lambda: enforcer.status()["healthy"], 15, "the port that is free now")
    found = samples(host.run(sys.executable, "-c", fetch).stdout.encode())
    assert found["enforcer_healthy", ()] == 1
    assert found.keys() >= {name for name in scraped(enforcer) if name[0].startswith("enforcer_")}
    assert [line.split()[3] for line in listening().splitlines()] == [f"127.0.0.1:{PORT}"]
    enforcer.put_in_force(plain)
    assert listening() == ""
