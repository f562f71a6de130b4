"""What is asked for, or happens, while something else is under way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcer.edge import client
from enforcer.edge.boot_ruleset import BOOT_RULESET
from enforcer.edge.runtime import RECORD
from enforcer.errors import EnforcerError
from tests.lab import without_call
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted, running
from tests.lab.footprint import footprint
from tests.lab.guarded import connected, goes_on
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.test_network_changes import WHOLE, attached
from tests.lab.wait import until

pytestmark = pytest.mark.root

IN_TIME_S = 20
PORT = 9443  # where no other server of the lab listens
POLICY = """\
version: 1
organization: lab
hosts:
  - registry.allowed.test
"""
NETWORK = "198.18.66.0/24"
OF_NETWORK = "198.18.66.1"
DEAD = "dead.test"


def outcomes(lab: Lab, *addresses: str) -> list[str]:
    """Return what becomes of attempts on *addresses*."""
    return [attempt(lab.net.host, address).outcome for address in addresses]


@contextlib.contextmanager
def starting(lab: Lab, enforcer: Enforcer) -> Iterator[Future[None]]:
    """Have *enforcer* start, and wait for lookups in the block; yield its start."""
    lab.nameserver.silence(DEAD)
    asked = lab.nameserver.queries[DEAD, "A"]
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(enforcer.start, "--state-dir", str(enforcer.directory / "state"))
        until(lambda: lab.nameserver.queries[DEAD, "A"] > asked, 60, "the first lookup")
        yield start


@pytest.fixture
def slow(lab: Lab) -> Iterator[Enforcer]:
    """Return a daemon that waits for lookups when it starts."""
    made = Enforcer(lab.net, f"{POLICY}  - {DEAD}\nnetworks: [{NETWORK}]\n")
    try:
        yield made
    finally:
        if made.started:
            made.kill()


def test_a_reload_during_a_start_is_in_force_after_it(lab: Lab, slow: Enforcer) -> None:
    """The start went on to put in force what the reload had replaced, and nobody was told."""
    with starting(lab, slow) as start:
        slow.put_in_force(POLICY)
        start.result()
        until(lambda: "enforcing the policy" in slow.log, IN_TIME_S, "the end of the start")
        assert outcomes(lab, OF_NETWORK, *DENIED.addresses) == ["ECONNREFUSED"] * 3
        assert slow.status()["policy"]["hosts"] == 1


def test_a_refused_reload_does_not_end_a_start(lab: Lab, slow: Enforcer) -> None:
    """What waits for the daemon to be ready waits for enforcement."""
    with starting(lab, slow) as start:
        slow.policy_file.write_text("hosts: [")
        with ThreadPoolExecutor(1) as pool:
            reload = pool.submit(slow.cli, "reload", check=False)
            start.result()
            assert outcomes(lab, *DENIED.addresses) == ["ECONNREFUSED"] * 2
            assert reload.result().returncode == 2


def test_an_off_during_a_start_leaves_nothing(lab: Lab, slow: Enforcer) -> None:
    """It is done when the command says so: nothing is put in force after it."""
    before, state = footprint(lab.net), slow.directory / "state"
    with starting(lab, slow) as start:
        slow.cli("off", "--state-dir", str(state))
        assert outcomes(lab, *DENIED.addresses) == ["connected"] * 2
        assert slow.process.wait(IN_TIME_S) == 0
        with contextlib.suppress(NotStarted):
            start.result()
    assert footprint(lab.net) == before
    assert not list(state.iterdir())


def test_a_reload_behind_an_off_is_refused(lab: Lab, tmp_path: Path) -> None:
    """It put all into the kernel once more, and left a ruleset for the next boot."""
    enforcer, before = Enforcer(lab.net, POLICY), footprint(lab.net)
    enforcer.start("--state-dir", str(tmp_path))
    enforcer.process.send_signal(signal.SIGSTOP)  # so that both are there at once
    with ThreadPoolExecutor() as pool:
        socket = enforcer.runtime_dir / "control.sock"
        asked = [pool.submit(client.request, "POST", socket, each) for each in ("/off", "/reload")]
        until(lambda: all(each.running() for each in asked), IN_TIME_S, "both requests")
        enforcer.process.send_signal(signal.SIGCONT)
        assert enforcer.process.wait(IN_TIME_S) == 0
        assert asked[0].exception() is None
        assert isinstance(asked[1].exception(), EnforcerError | None)
    assert footprint(lab.net) == before
    assert not list(tmp_path.iterdir())


def test_an_off_that_can_not_delete_a_file_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    """connect_mark was taken off for good, and the record was gone."""
    enforcer, kept = Enforcer(lab.net, POLICY), tmp_path / BOOT_RULESET
    enforcer.start("--state-dir", str(tmp_path))
    try:
        kept.unlink()
        kept.mkdir()
        refused = enforcer.cli("off", check=False)
        assert refused.returncode == 1
        assert str(tmp_path) in refused.stderr
        assert attached(lab.net.host) == WHOLE
        assert (enforcer.runtime_dir / RECORD).exists()
        assert outcomes(lab, ALLOWED.addresses[0], *DENIED.addresses) == [
            "connected",
            *["ECONNREFUSED"] * 2,
        ]
        kept.rmdir()
        until(kept.is_file, IN_TIME_S, "the ruleset for the next boot")
        enforcer.cli("off")
        assert enforcer.process.wait(IN_TIME_S) == 0
        assert not list(tmp_path.iterdir())
    finally:
        enforcer.kill()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_who_dies_before_he_ended_connections_leaves_that_to_the_next(
    lab: Lab, end: signal.Signals
) -> None:
    """The table is the new policy's by then, and who comes next took all for judged."""
    with running(lab.net, f"{POLICY}networks: [{NETWORK}]\n") as enforcer:
        record = enforcer.runtime_dir / RECORD
        with (
            connected(lab.net.host, lab.net.world, OF_NETWORK, PORT) as ends,
            connected(lab.net.world, lab.net.host, "10.77.0.2", PORT) as from_outside,
        ):
            enforcer.policy_file.write_text(POLICY)
            os.kill(enforcer.process.pid, signal.SIGHUP)
            while json.loads(record.read_text())["networks"]:
                pass
            enforcer.process.send_signal(end)
            enforcer.process.wait(IN_TIME_S)
            enforcer.start()
            assert not goes_on(ends)
            assert goes_on(from_outside)


def test_files_that_can_not_be_watched_end_nothing(lab: Lab) -> None:
    """Root of any container may have used up root's share of what watches them."""
    prefix = (sys.executable, without_call.__file__, "inotify_init1", "EMFILE")
    with running(lab.net, POLICY, prefix=prefix) as enforcer:
        assert outcomes(lab, *DENIED.addresses) == ["ECONNREFUSED"] * 2
        socket = enforcer.runtime_dir / "control.sock"
        socket.unlink()
        until(socket.exists, IN_TIME_S, "the control socket")
        texts = [problem["text"] for problem in enforcer.status()["problems"]]
        assert set(texts) == {"can't watch files: Too many open files"}
