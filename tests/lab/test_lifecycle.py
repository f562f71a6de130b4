"""Starting, reloading, stopping and dying: what of the firewall is there after each."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import threading
from pathlib import Path

import pytest

from enforcer.edge.scheduling import NICENESS
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

IN_TIME_S = 20


def _outcomes(lab: Lab) -> dict[str, str]:
    host = lab.net.host
    return {r.name: attempt(host, r.addresses[0]).outcome for r in (ALLOWED, DENIED)}


CLOSED_TO_OTHERS = {ALLOWED.name: "connected", DENIED.name: "ECONNREFUSED"}
OPEN = {ALLOWED.name: "connected", DENIED.name: "connected"}


def test_an_orderly_stop_leaves_nothing(lab: Lab, policy: str) -> None:
    """SIGINT, as Ctrl-C and systemctl stop send it, ends with 0 and removes all."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        assert footprint(lab.net) > before
        assert _outcomes(lab) == CLOSED_TO_OTHERS
        enforcer.process.send_signal(signal.SIGINT)
        assert enforcer.process.wait(10) == 0
    assert footprint(lab.net) == before
    assert _outcomes(lab) == OPEN


def test_a_restart_never_opens(lab: Lab, policy: str) -> None:
    """SIGTERM, as systemctl restart sends it, leaves all for the next start to take over.

    It removed everything, and a restart opened the machine for seconds.
    """
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        whole = footprint(lab.net)
        enforcer.process.terminate()
        assert enforcer.process.wait(10) == -signal.SIGTERM
        assert footprint(lab.net) == whole
        assert _outcomes(lab) == CLOSED_TO_OTHERS
        assert "off` opens" in enforcer.log
        enforcer.start()
        assert enforcer.status()["healthy"]
        assert _outcomes(lab) == CLOSED_TO_OTHERS
    assert footprint(lab.net) == before


def test_ctrl_c_at_the_start_removes_what_there_was(lab: Lab, policy: str) -> None:
    """A stop that comes before there is a daemon to hear it is no less of one."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        again = lab.net.host.popen(*enforcer.argv("run", "--policy", str(enforcer.policy_file)))
        # Its compiler is its first child, and long before there is an event loop.
        children = Path(f"/proc/{again.pid}/task/{again.pid}/children")
        until(lambda: children.read_text() != "", IN_TIME_S, "the compiler to begin")
        again.send_signal(signal.SIGINT)
        assert again.wait(IN_TIME_S) == 0
        assert footprint(lab.net) == before


def test_an_enforcing_daemon_lets_others_run_first(lab: Lab, policy: str) -> None:
    """Its threads have a lower priority than the applications that an answer wakes with it.

    At equal priority two CPUs with a busy client took 1.4 to 1.6 times as long from
    query to connection as without a firewall, the daemon's turn coming before the client's.
    """
    with running(lab.net, policy) as enforcer:
        threads = Path(f"/proc/{enforcer.process.pid}/task").iterdir()
        niceness = {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in threads}
    assert niceness == {os.getpriority(os.PRIO_PROCESS, 0) + NICENESS}


def test_answers_to_come_are_waited_for_behind_everybody(lab: Lab, policy: str) -> None:
    """While they come the daemon runs where nobody else wants to, and as usual afterwards."""
    with running(lab.net, policy) as enforcer:

        def scheduled(policy: int) -> bool:
            return os.sched_getscheduler(enforcer.process.pid) == policy

        until(lambda: scheduled(os.SCHED_OTHER), IN_TIME_S, "the answers of the start to be read")
        done = threading.Event()

        def client() -> None:
            while not done.is_set():
                connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=20, label="burst")

        asking = threading.Thread(target=client)
        asking.start()
        try:
            until(lambda: scheduled(os.SCHED_IDLE), IN_TIME_S, "the daemon to step back")
        finally:
            done.set()
            asking.join()
        until(lambda: scheduled(os.SCHED_OTHER), IN_TIME_S, "the daemon to step forward")


def test_off_removes_everything(lab: Lab, policy: str) -> None:
    """`enforcer off` ends the daemon and leaves nothing; a second one has nothing to do."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.cli("off")
        assert enforcer.process.wait(10) == 0
        assert footprint(lab.net) == before
        assert _outcomes(lab) == OPEN
        assert enforcer.cli("off", check=False).returncode == 3


def test_a_killed_daemon_leaves_the_machine_restricted(lab: Lab, policy: str) -> None:
    """After SIGKILL permitted addresses stay open, all others closed, and status says so."""
    with running(lab.net, policy) as enforcer:
        whole = footprint(lab.net)
        enforcer.kill()
        assert footprint(lab.net) == whole
        assert _outcomes(lab) == CLOSED_TO_OTHERS
        shown = enforcer.cli("status", "--json", check=False)
        status = json.loads(shown.stdout)
        assert shown.returncode == 3
        assert status["enforcing"]
        assert not status["healthy"]
        assert not status["daemon"]["running"]


def test_off_removes_what_a_killed_daemon_left(lab: Lab, policy: str) -> None:
    """`enforcer off` works without a daemon."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        enforcer.cli("off")
    assert footprint(lab.net) == before
    assert _outcomes(lab) == OPEN


def test_off_finds_what_no_record_tells_of(lab: Lab, policy: str) -> None:
    """On the root of cgroup v2, where all is that a service attaches: here the lab's is that."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        shutil.rmtree(enforcer.runtime_dir)
        off = shlex.join(enforcer.argv("off"))
        cgroup2 = "umount -a -t cgroup2 && mount -t cgroup2 none /sys/fs/cgroup"
        lab.net.host.run(
            *("sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(lab.net.cgroup)),
            *("unshare", "--cgroup", "--mount", "sh", "-c", f"{cgroup2} && {off}"),
        )
    assert footprint(lab.net) == before
    assert _outcomes(lab) == OPEN


@pytest.mark.parametrize("recorded", [True, False])
def test_a_new_daemon_follows_a_killed_one(lab: Lab, policy: str, *, recorded: bool) -> None:
    """A restart takes over: all there once, and an orderly stop leaves nothing."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        if not recorded:
            shutil.rmtree(enforcer.runtime_dir)
        enforcer.start()
        assert enforcer.status()["healthy"]
        assert _outcomes(lab) == CLOSED_TO_OTHERS
    assert footprint(lab.net) == before


def test_first_connections_work_while_a_new_daemon_takes_over(lab: Lab, policy: str) -> None:
    """A start that waits for a dead name keeps the kernel learning under the old ruleset."""
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        lab.nameserver.silence("dead.test")
        enforcer.policy_file.write_text(f"{policy}  - dead.test\n")
        starting = threading.Thread(target=enforcer.start)
        starting.start()
        try:
            until(lambda: "restricts" in enforcer.log, 60, "the start")
            until(lambda: lab.nameserver.queries["dead.test", "A"] > 0, 60, "the first lookup")
            made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=100)
            assert made.ok == 100
        finally:
            starting.join()


def test_an_orderly_stop_waits_for_a_reload(lab: Lab, policy: str) -> None:
    """SIGINT right after SIGHUP leaves nothing either."""
    before = footprint(lab.net)
    with running(lab.net, policy) as enforcer:
        enforcer.process.send_signal(signal.SIGHUP)
        enforcer.process.send_signal(signal.SIGINT)
        assert enforcer.process.wait(20) == 0
    assert footprint(lab.net) == before


def test_a_start_that_fails_late_leaves_nothing(lab: Lab, policy: str) -> None:
    """A control socket whose path is too long for one: an error, and an open machine as before."""
    before = footprint(lab.net)
    enforcer = Enforcer(lab.net, policy)
    enforcer.runtime_dir = enforcer.directory / ("n" * 120)
    with pytest.raises(NotStarted, match="can't listen") as refused:
        enforcer.start()
    assert refused.value.status == 1
    assert "Traceback" not in refused.value.stderr
    assert footprint(lab.net) == before


def test_a_long_answer_is_not_looked_up_for_ever(lab: Lab, policy: str) -> None:
    """The daemon's own lookup is cut short too, and is no reason for the next one."""
    addresses = [f"198.18.9.{n}" for n in range(1, 61)]
    lab.nameserver.add("registry.allowed.test", *addresses, ALLOWED.addresses[0])
    with running(lab.net, policy) as enforcer:
        until(lambda: enforcer.status()["addresses"] > len(addresses), 10, "all addresses")
        asked = lab.nameserver.queries["registry.allowed.test", "A"]
        assert enforcer.cli("hosts").stdout.count("198.18.9.") == len(addresses)
        assert lab.nameserver.queries["registry.allowed.test", "A"] - asked < 5
        assert asked < 20


# Without reject connections are judged by more than the programs and the ruleset.
@pytest.mark.needs("reject")
def test_sighup_puts_another_policy_in_force(lab: Lab, policy: str) -> None:
    """After a reload the new policy's registry is open and the old one's is closed."""
    with running(lab.net, policy) as enforcer:
        enforcer.reload(policy.replace(ALLOWED.name, DENIED.name))
        swapped = {ALLOWED.name: "ECONNREFUSED", DENIED.name: "connected"}
        until(lambda: _outcomes(lab) == swapped, IN_TIME_S, "the other registry")
        assert enforcer.status()["healthy"]


def test_reload_puts_another_policy_in_force(lab: Lab, policy: str) -> None:
    """`enforcer reload` is done when it returns."""
    with running(lab.net, policy) as enforcer:
        enforcer.policy_file.write_text(policy.replace(ALLOWED.name, DENIED.name))
        enforcer.cli("reload")
        assert _outcomes(lab) == {ALLOWED.name: "ECONNREFUSED", DENIED.name: "connected"}


def test_a_policy_with_mistakes_does_not_replace_one(lab: Lab, policy: str) -> None:
    """A bad reload exits 2 with the mistake, and what was in force still is."""
    with running(lab.net, policy) as enforcer:
        enforcer.policy_file.write_text(policy.replace(FRESH_ZONE, "com"))
        refused = enforcer.cli("reload", check=False)
        assert refused.returncode == 2
        assert "*.com" in refused.stderr
        assert _outcomes(lab) == CLOSED_TO_OTHERS
