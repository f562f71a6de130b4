"""Changes that the kernel refuses: what was in force goes on, with all its parts."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.test_network_changes import WHOLE, attached
from tests.lab.wait import until

pytestmark = pytest.mark.root

AUDIT_WITHOUT_ZONE = """\
version: 1
organization: lab
mode: audit
hosts:
  - registry.allowed.test
"""
# Three rounds of the daemon's own look-around.
REPAIRED_WITHIN_S = 15


class Nft:
    """The program nft, which refuses every ruleset while it is told to.

    Attributes:
        path: for programs, with this one first.
    """

    def __init__(self, directory: Path) -> None:
        self._refusing = directory / "refusing"
        program = directory / "nft"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = -f ] && [ -e {self._refusing} ] && exit 1\n'
            f'exec {shutil.which("nft")} "$@"\n'
        )
        program.chmod(0o755)
        self.path = f"{directory}:{os.environ['PATH']}"

    def refuse(self) -> None:
        """Refuse what comes."""
        self._refusing.touch()

    def agree(self) -> None:
        """Carry out what comes."""
        self._refusing.unlink()


def test_a_reload_that_nft_refuses_takes_nothing_away(lab: Lab, tmp_path: Path) -> None:
    """The old policy was said to be in force, and what its wildcard had opened was closed."""
    host, nft = lab.net.host, Nft(tmp_path)
    with running(lab.net, POLICY, path=nft.path) as enforcer:
        name = f"kept.{FRESH_ZONE}"
        address = host.run("getent", "ahostsv4", name).stdout.split()[0]
        assert attempt(host, address).outcome == "connected"
        before = enforcer.in_force()
        enforcer.policy_file.write_text(AUDIT_WITHOUT_ZONE)
        nft.refuse()
        refused = enforcer.cli("reload", check=False)
        nft.agree()
        assert refused.returncode == 1
        assert "nft refused the ruleset" in refused.stderr
        until(
            lambda: attempt(host, address).outcome == "connected",
            REPAIRED_WITHIN_S,
            "what was open to be open",
        )
        assert {attempt(host, each).outcome for each in DENIED.addresses} == {"ECONNREFUSED"}
        assert enforcer.in_force() == before
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=20, label="after")
        assert (made.ok, made.refused, made.late) == (20, 0, 0)
        enforcer.cli("reload")
        assert enforcer.status()["mode"] == "audit"


def told(enforcer: Enforcer) -> str:
    """Return what status says of the policy file, or nothing."""
    texts = (each["text"] for each in enforcer.status()["problems"])
    return next((text for text in texts if "policy file is not in force" in text), "")


@pytest.mark.parametrize("watch", [False, True], ids=["signal", "watched"])
def test_what_nobody_waits_for_is_tried_again(lab: Lab, tmp_path: Path, *, watch: bool) -> None:
    """A valid file stayed out of force for ever if the kernel had no room for it once."""
    nft, watched = Nft(tmp_path), f"watch: {str(watch).lower()}\n"
    with running(lab.net, POLICY + watched, path=nft.path) as enforcer:
        nft.refuse()
        enforcer.policy_file.write_text(AUDIT_WITHOUT_ZONE + watched)
        if not watch:
            os.kill(enforcer.process.pid, signal.SIGHUP)
        until(lambda: "it is tried again" in told(enforcer), REPAIRED_WITHIN_S, "word of it")
        assert enforcer.status()["mode"] == "enforce"
        nft.agree()
        until(lambda: enforcer.status()["mode"] == "audit", REPAIRED_WITHIN_S, "another try")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")


def test_another_file_is_not_put_in_force_in_place_of_a_refused_one(
    lab: Lab, tmp_path: Path
) -> None:
    """It may be half-done: nobody has asked for it, and it is not watched."""
    nft = Nft(tmp_path)
    with running(lab.net, POLICY, path=nft.path) as enforcer:
        nft.refuse()
        enforcer.policy_file.write_text(f"{POLICY}  - other.test\n")
        os.kill(enforcer.process.pid, signal.SIGHUP)
        until(lambda: "it is tried again" in told(enforcer), REPAIRED_WITHIN_S, "word of it")
        enforcer.policy_file.write_text(AUDIT_WITHOUT_ZONE)
        nft.agree()
        until(
            lambda: told(enforcer) and "it is tried again" not in told(enforcer),
            REPAIRED_WITHIN_S,
            "the end of it",
        )
        assert enforcer.status()["mode"] == "enforce"
        enforcer.cli("reload")
        assert enforcer.status()["mode"] == "audit"


def test_an_off_that_fails_leaves_enforcement_whole(lab: Lab, tmp_path: Path) -> None:
    """connect_mark was never attached again, and somebody else was blamed for the rest."""
    host, nft = lab.net.host, Nft(tmp_path)
    with running(lab.net, POLICY, path=nft.path) as enforcer:
        nft.refuse()
        refused = enforcer.cli("off", check=False)
        nft.agree()
        assert refused.returncode == 1
        until(
            lambda: attached(host) == WHOLE and enforcer.status()["healthy"],
            REPAIRED_WITHIN_S,
            "all parts to be back",
        )
        assert "taken off" not in enforcer.log
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=20, label="not-off")
        assert (made.ok, made.refused, made.late) == (20, 0, 0)
        assert {attempt(host, each).outcome for each in DENIED.addresses} == {"ECONNREFUSED"}
        enforcer.cli("off")
        enforcer.process.wait()
    assert attached(host) == {}
    assert "enforcer" not in host.run("nft", "list", "tables").stdout
