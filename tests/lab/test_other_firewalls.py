"""Other firewalls beside us start, reload and stop: what each side has stays what it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.pull import dockerd
from tests.lab.registry import DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

_SCRIPT = Path(__file__).with_name("firewalls.sh")
# What `./dev setup` unpacked: installed, they would become this machine's own.
_UNPACKED = Path(__file__).parents[2] / ".unpacked"
STEPS = (
    "firewalld started",
    "firewalld reloaded",
    "firewalld reloaded completely",
    "firewalld stopped",
    "ufw enabled",
    "ufw reloaded",
    "ufw reset",
    "iptables-nft restored",
    "iptables-nft flushed",
)
# What /etc/nftables.conf begins with on many machines, and `systemctl reload nftables` runs.
_NFTABLES = """
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter
  }
}
"""


def enforces(lab: Lab, label: str) -> bool:
    """Tell whether what is permitted opens, never seen before, and the rest does not."""
    made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=5, label=label)
    refused = {attempt(lab.net.host, each).outcome for each in DENIED.addresses}
    return (made.ok, refused) == (5, {"ECONNREFUSED"})


def untouched(enforcer: Enforcer) -> bool:
    """Tell whether nothing of ours had to be put back."""
    status = enforcer.status()
    return bool(status["healthy"]) and status["repaired"] == []


def test_firewalld_ufw_and_iptables_change_nothing(lab: Lab, policy: str) -> None:
    """The real ones, at each step of their lives."""
    files = lab.net.directory / "firewalls"
    files.mkdir()
    log = lab.net.directory / "firewalls.log"
    with (
        running(lab.net, policy) as enforcer,
        log.open("w") as errors,
        subprocess.Popen(
            lab.net.host.command("unshare", "--mount", "sh", _SCRIPT, _UNPACKED, files),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as others,
    ):
        assert others.stdin is not None
        assert others.stdout is not None
        for number, step in enumerate(STEPS):
            assert others.stdout.readline().rstrip() == step, log.read_text()
            assert enforces(lab, f"step{number}"), step
            others.stdin.write("\n")
            others.stdin.flush()
        assert others.wait(20) == 0, log.read_text()
        assert untouched(enforcer)


def test_docker_that_is_restarted_changes_nothing(lab: Lab, policy: str) -> None:
    """With the rules that it makes for its networks."""
    with running(lab.net, policy) as enforcer:
        for number in range(2):
            with dockerd(lab.net.host, Path("/dev/null"), ruleset=True) as docker:
                lab.net.host.run(*docker.command("network", "create", "lab-net"))
                assert "DOCKER" in lab.net.host.run("iptables-nft", "-S").stdout
                assert enforces(lab, f"docker{number}")
        assert untouched(enforcer)


def test_nftables_that_is_reloaded_takes_ours_away_for_a_moment(lab: Lab, policy: str) -> None:
    """Its file flushes everybody's rules: ours are put back, and its own stay."""
    with running(lab.net, policy) as enforcer:
        lab.net.host.nft(_NFTABLES)
        until(lambda: "the table itself" in enforcer.log, 10, "the repair")
        assert enforces(lab, "nftables")
        tables = lab.net.host.run("nft", "list", "tables").stdout.splitlines()
        assert set(tables) == {"table inet filter", "table inet enforcer"}
        (repair,) = enforcer.status()["repaired"]
        assert "the table itself" in repair["text"]
