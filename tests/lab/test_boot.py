"""From one boot to the next: what is kept, and what it lets through until there is a daemon."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from enforcer.edge.boot_ruleset import BOOT_RULESET
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.test_repair import REPAIRED_WITHIN_S
from tests.lab.wait import until

pytestmark = pytest.mark.root


class Booted:
    """A machine on which a daemon ran, booted since: nothing is in the kernel but what was kept.

    Args:
        lab: whose host is the machine.
        policy: that the daemon enforced.
    """

    def __init__(self, lab: Lab, policy: str) -> None:
        self.enforcer = Enforcer(lab.net, policy)
        self.state = self.enforcer.directory / "state"
        self.kept = self.state / BOOT_RULESET
        self._lab = lab
        self.start()
        self.before = self.enforcer.status()
        assert self.enforcer.stop() == 0

    def start(self) -> None:
        """Start the daemon."""
        self.enforcer.start("--state-dir", str(self.state))

    def load(self) -> None:
        """Do what enforcer-early.service does."""
        unit = Path(__file__).parents[2] / "systemd" / "enforcer-early.service"
        [command] = [
            line.removeprefix("ExecStart=")
            for line in unit.read_text().splitlines()
            if line.startswith("ExecStart=")
        ]
        argv = command.replace("/var/lib/enforcer", str(self.state)).split()
        self._lab.net.host.run(*argv)

    def off(self) -> None:
        """Take everything away again."""
        self.enforcer.cli("off", "--state-dir", str(self.state))


def _outcomes(lab: Lab) -> list[str]:
    host = lab.net.host
    return [attempt(host, r.addresses[0]).outcome for r in (ALLOWED, DENIED)]


def test_a_boot_begins_closed_and_a_daemon_opens_what_is_permitted(lab: Lab, policy: str) -> None:
    """Before there is a daemon nothing leaves but questions, and what networks permit."""
    nothing = footprint(lab.net)
    network = f"networks: [{DENIED.addresses[1]}/128]\n"
    booted = Booted(lab, policy + network)
    assert footprint(lab.net) == nothing
    assert _outcomes(lab) == ["connected", "connected"]
    booted.load()
    assert _outcomes(lab) == ["ECONNREFUSED", "ECONNREFUSED"]
    assert attempt(lab.net.container, DENIED.addresses[0]).outcome == "ECONNREFUSED"
    assert attempt(lab.net.host, DENIED.addresses[1]).outcome == "connected"
    resolver, port = booted.before["resolvers"][0], 53

    def ask() -> None:
        with socket.create_connection((resolver, port), timeout=5):
            pass

    lab.net.host.call(ask)
    shown = booted.enforcer.cli("status", "--json", check=False)
    status = json.loads(shown.stdout)
    assert shown.returncode == 3
    assert status["enforcing"]
    assert "the daemon is not running" in status["problems"][0]["text"]
    booted.start()
    assert _outcomes(lab) == ["connected", "ECONNREFUSED"]
    assert booted.enforcer.status()["healthy"]
    booted.off()
    assert booted.enforcer.process.wait(20) == 0
    assert footprint(lab.net) == nothing


def test_what_is_kept_is_roots_and_marks_nothing(lab: Lab, policy: str) -> None:
    """The marks of this boot are worth nothing in the next, and nobody reads any."""
    booted = Booted(lab, policy)
    assert booted.kept.stat().st_mode & 0o777 == 0o600
    assert booted.state.stat().st_mode & 0o777 == 0o700
    text = booted.kept.read_text()
    assert "mark" not in text
    assert "timeout " not in text  # no address either: none is known to be right any more


def test_a_table_of_a_daemon_is_never_replaced(lab: Lab, policy: str) -> None:
    """Whoever starts the early service by hand changes nothing."""
    booted = Booted(lab, policy)
    booted.start()
    before = booted.enforcer.status()["addresses"]
    with pytest.raises(AssertionError, match="File exists"):
        booted.load()
    assert _outcomes(lab) == ["connected", "ECONNREFUSED"]
    assert booted.enforcer.status()["addresses"] == before
    booted.off()


def test_a_daemon_that_can_not_start_leaves_the_boot_closed(lab: Lab, policy: str) -> None:
    """It says why, and `enforcer off` is the way out."""
    booted = Booted(lab, policy)
    booted.load()
    booted.enforcer.policy_file.write_text("hosts: [")
    with pytest.raises(NotStarted) as refused:
        booted.start()
    assert refused.value.status == 2
    assert _outcomes(lab) == ["ECONNREFUSED", "ECONNREFUSED"]
    booted.off()
    assert _outcomes(lab) == ["connected", "connected"]
    assert not booted.kept.exists()


@pytest.mark.parametrize("running", [True, False])
def test_off_keeps_nothing_for_the_next_boot(lab: Lab, policy: str, *, running: bool) -> None:
    """With a daemon or without: who is told to be off stays so."""
    booted = Booted(lab, policy)
    assert booted.kept.exists()
    if running:
        booted.start()
    booted.off()
    assert list(booted.state.iterdir()) == []


def test_a_boot_of_audit_denies_nothing(lab: Lab, policy: str) -> None:
    """What a policy would deny is no reason to deny it at the next boot."""
    booted = Booted(lab, policy.replace("version: 1", "version: 1\nmode: audit"))
    booted.load()
    assert _outcomes(lab) == ["connected", "connected"]
    booted.off()


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_what_is_kept_is_put_back(lab: Lab, policy: str, how: str) -> None:
    """By a daemon that runs, and it says so."""
    booted = Booted(lab, policy)
    booted.start()
    text = booted.kept.read_text()
    if how == "removed":
        booted.kept.unlink()
    else:
        booted.kept.write_text("")

    def is_back() -> bool:
        return booted.kept.exists() and booted.kept.read_text() == text

    until(is_back, REPAIRED_WITHIN_S, "the ruleset of the next boot")
    until(lambda: booted.enforcer.status()["repaired"] != [], REPAIRED_WITHIN_S, "status to tell")
    booted.off()


def test_what_can_not_be_kept_is_told(lab: Lab, policy: str) -> None:
    """Enforcement goes on; that the next boot begins open, until there is a daemon, is shown."""
    enforcer = Enforcer(lab.net, policy)
    state = enforcer.directory / "state"
    state.mkdir(mode=0o777)
    os.chmod(state, 0o777)  # noqa: PTH101, S103 - what others may write to is the point
    enforcer.start("--state-dir", str(state))

    def told() -> bool:
        return any("can't be trusted" in each["text"] for each in enforcer.status()["problems"])

    until(told, REPAIRED_WITHIN_S, "the problem")
    assert _outcomes(lab) == ["connected", "ECONNREFUSED"]
    assert list(state.iterdir()) == []
    state.chmod(0o700)
    until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")
    assert (state / BOOT_RULESET).exists()
    assert enforcer.stop() == 0
