"""A policy of 100,000 hosts: its start, its reloads and its end."""

from __future__ import annotations

import pytest

from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED

pytestmark = pytest.mark.root

HOSTS = 100_000


def test_a_long_policy_is_reloaded_as_a_whole_and_stopped_at_once(lab: Lab, policy: str) -> None:
    """While its names are looked up; a mistake in its last line changes nothing.

    A stop took more than two minutes: every name was a task, and a cancellation that
    came with a wake-up was forgotten, so that lookups went on until all had ended.
    """
    before = footprint(lab.net)
    hosts = "".join(f"  - n{number}.large.test\n" for number in range(HOSTS))
    with running(lab.net, policy + hosts) as enforcer:
        assert attempt(lab.net.host, ALLOWED.addresses[0]).outcome == "connected"
        shown = enforcer.in_force()
        assert shown["hosts"] >= HOSTS

        enforcer.policy_file.write_text(f"{policy}  - {DENIED.name}\n{hosts}  - '*.com'\n")
        assert enforcer.cli("reload", check=False).returncode == 2
        assert enforcer.in_force() == shown
        assert attempt(lab.net.host, DENIED.addresses[0]).outcome == "ECONNREFUSED"

        swapped = policy.replace(ALLOWED.name, DENIED.name).replace(FRESH_ZONE, f"x.{FRESH_ZONE}")
        enforcer.policy_file.write_text(swapped + hosts)
        enforcer.cli("reload")
        assert attempt(lab.net.host, ALLOWED.addresses[0]).outcome == "ECONNREFUSED"

        assert enforcer.stop() == 0  # or it was not done in STOP_TIMEOUT_S
    assert footprint(lab.net) == before
