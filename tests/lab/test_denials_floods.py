"""Denials by masses: all are counted, some are told, and nobody waits for either."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.core.denials import MAX_KEPT
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.test_threats_daemon import learns
from tests.lab.test_threats_floods import beside

pytestmark = pytest.mark.root

_DENIALS = 60_000
# What the records of as many as are told may take, and what Python keeps of it.
_GROWTH_KIB = 4 * 1024

# As many datagrams as the first argument says, as fast as one process can, to ever other
# addresses; a refusal comes back as an error, or not at all.
_SEND = """
import contextlib, socket, sys, time
count, began = int(sys.argv[1]), time.perf_counter()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(count):
        with contextlib.suppress(PermissionError):
            sock.sendto(b"x", (f"198.19.{128 + number // 250 % 100}.{1 + number % 250}", 443))
print(count / (time.perf_counter() - began))
"""


def resident_kib(enforcer: Enforcer) -> int:
    """Return the daemon's resident memory."""
    status = Path(f"/proc/{enforcer.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def total(enforcer: Enforcer) -> int:
    """Return how many packets were counted as denied."""
    return int(enforcer.status()["denied"]["total"])


@pytest.fixture
def enforcer(lab: Lab, policy: str) -> Iterator[Enforcer]:
    """Return a daemon of the test's own: the shared one has records of others."""
    with running(lab.net, policy) as started:
        yield started


@pytest.mark.needs("log", "counter")
@pytest.mark.parametrize("where", ["host", "container"])
def test_a_flood_of_denials_is_counted_and_told_in_part(
    lab: Lab, enforcer: Enforcer, where: str
) -> None:
    """Ten thousand a second and more: to the last one counted, in bounded memory.

    And a permitted connection meanwhile is made at once.
    """
    namespace: Namespace = getattr(lab.net, where)
    send = (sys.executable, "-c", _SEND)
    namespace.run(*send, "2000")  # what the first ones take stays
    before, memory = total(enforcer), resident_kib(enforcer)
    rates = []
    with beside(lambda: rates.append(float(namespace.run(*send, str(_DENIALS)).stdout))):
        assert learns(lab, "during")
    assert total(enforcer) - before == _DENIALS
    assert rates[0] > 10_000
    assert resident_kib(enforcer) - memory < _GROWTH_KIB
    lines = enforcer.cli("denials", "--json").stdout.splitlines()
    assert 0 < len(lines) <= MAX_KEPT
    assert json.loads(lines[-1])["address"].startswith("198.19.")
