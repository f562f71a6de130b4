"""States of a daemon that `enforcer status` tells, made for real: exit status and words."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from enforcer.edge.cgroup import HOOKS, CgroupHook
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.screen import on_a_terminal
from tests.lab.states import (
    DEGRADED,
    HEALTHY,
    SHOWN_WITHIN_S,
    becomes,
    is_healthy_again,
    said,
    shown,
)
from tests.lab.wait import until

pytestmark = pytest.mark.root

NOBODY = 65534


def test_healthy_is_proved(enforcer: Enforcer) -> None:
    """A moment ago, in both families, with the addresses that were tried."""
    done = shown(enforcer)
    assert said(done) == (HEALTHY, "enforcing, healthy")
    proof = enforcer.status()["proof"]
    assert proof["age_s"] < 20
    assert [each["family"] for each in proof["families"]] == ["IPv4", "IPv6"]
    for each, address in zip(proof["families"], ALLOWED.addresses, strict=True):
        assert (each["outcome"], each["accepted"]) == ("proved", f"{address} port 443")
    tried = r", \d s ago: \S+ denied, \S+ port 443 accepted"
    pattern = rf"^proved +IPv4{tried} IPv6{tried}$"
    assert re.search(pattern, done.stdout, re.MULTILINE)


def test_an_edit_that_is_not_in_force_is_shown(lab: Lab, policy: str) -> None:
    """Nothing is wrong with that, but whoever forgot to reload wonders."""
    with running(lab.net, policy) as enforcer:
        assert not enforcer.status()["policy"]["changed"]
        enforcer.policy_file.write_text(f"{policy}  - another.test\n")
        status = enforcer.status()
        assert status["policy"]["changed"]
        assert status["healthy"]
        assert "its file has changed since" in shown(enforcer).stdout
        enforcer.cli("reload")
        assert not enforcer.status()["policy"]["changed"]


@pytest.mark.needs("counter")
def test_a_proof_is_renewed_and_makes_no_denials(shared_lab: Lab, enforcer: Enforcer) -> None:
    """However often: what it tries is neither counted, nor recorded, nor sent."""
    first = enforcer.status()["proof"]["families"][0]["denied"]
    shared_lab.sink.reset()

    def renewed() -> bool:
        return bool(enforcer.status()["proof"]["families"][0]["denied"] != first)

    until(renewed, SHOWN_WITHIN_S, "another proof")
    status = enforcer.status()
    assert (status["denied"]["total"], status["denied"]["recent"]) == (0, [])
    assert attempt(shared_lab.net.host, DENIED.addresses[0]).outcome == "ECONNREFUSED"
    assert enforcer.status()["denied"]["total"] == 1
    assert shared_lab.sink.syns() == {}


@pytest.mark.needs("counter")
def test_another_firewall_that_denies_what_is_permitted_is_told(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """By the probe alone: nothing of ours has changed."""
    other = (
        "table inet lab_other {\nchain output {\ntype filter hook output priority filter\n"
        f"ip daddr {ALLOWED.addresses[0]} drop\n}}\n}}"
    )
    shared_lab.net.host.nft(other)
    try:
        found = becomes(enforcer, DEGRADED, "something else than the ruleset", lambda: None)
    finally:
        shared_lab.net.host.nft("delete table inet lab_other")
    assert found.startswith("enforcing, with problems\n")
    is_healthy_again(enforcer)


def test_the_table_deleted_by_hand(shared_lab: Lab, enforcer: Enforcer) -> None:
    """Until it is back, nothing is enforced, and the first line says so."""

    def delete() -> None:
        shared_lab.net.host.run("nft", "delete", "table", "inet", "enforcer", check=False)

    found = becomes(enforcer, DEGRADED, "the nftables table is gone", delete)
    assert found.startswith("not enforcing: this machine may reach any address\n")
    is_healthy_again(enforcer)
    assert "repaired " in shown(enforcer).stdout


def test_a_program_detached_by_hand(shared_lab: Lab, enforcer: Enforcer) -> None:
    """Denying goes on, learning does not: which program, and what that means."""

    def detach() -> None:
        for program in HOOKS:
            hook = CgroupHook(Path(shared_lab.net.cgroup), program)
            for number in hook.attached():
                hook.detach(number)

    found = becomes(enforcer, DEGRADED, "connect_mark is not attached", detach)
    assert found.startswith("enforcing, with problems\n")
    is_healthy_again(enforcer)


def test_not_root(enforcer: Enforcer) -> None:
    """One error with the remedy, whether a daemon runs or not."""
    refused = enforcer.cli("status", check=False, user=NOBODY)
    assert (refused.returncode, refused.stdout) == (DEGRADED, "")
    assert re.fullmatch(
        r'enforcer: only root may talk to ".*" \(hint: use sudo\)\n', refused.stderr
    )


def test_a_terminal_shows_who_was_denied_in_its_columns(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """The state in its first line, hosts with their processes, and no line too long."""
    attempt(shared_lab.net.host, DENIED.addresses[0])
    until(lambda: enforcer.status()["denied"]["hosts"], SHOWN_WITHIN_S, "the denial")
    lines = on_a_terminal(shared_lab.net.host, *enforcer.argv("status"), columns=80)
    assert "enforcing, healthy" in lines[0]
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if f"{DENIED.addresses[0]}:443" in line)
    assert Path(sys.executable).name in line
    piped = shown(enforcer).stdout
    assert f" to {DENIED.addresses[0]}:443, by {Path(sys.executable).name}, " in piped
    assert "\x1b" not in piped
