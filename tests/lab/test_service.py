"""The daemon as a service manager sees it (sd_notify(3))."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.daemon import START_TIMEOUT_S, Enforcer
from tests.lab.lab import Lab
from tests.lab.wait import DeadlinePassed, until

pytestmark = pytest.mark.root

WATCHDOG_S = 2.0


class Manager:
    """Starts a daemon as systemd does, and hears what it says.

    Args:
        enforcer: not started yet.
        listening: the notification socket, bound.
    """

    def __init__(self, lab: Lab, enforcer: Enforcer, listening: socket.socket) -> None:
        self._listening = listening
        self.heard: list[str] = []
        argv = enforcer.argv("run", "--policy", str(enforcer.policy_file))
        self.process = lab.net.host.popen(
            *argv,
            "--cgroup",
            str(lab.net.cgroup),
            env={
                "NOTIFY_SOCKET": listening.getsockname(),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            },
        )

    def hear(self) -> list[str]:
        """Return what was said until now, line by line."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self._listening.recv(4096).decode().splitlines()
        return self.heard

    def wait_for(self, line: str) -> None:
        """Wait until *line* is said anew."""
        self.hear()
        before = self.heard.count(line)
        until(lambda: self.hear().count(line) > before, START_TIMEOUT_S, line)


@pytest.fixture
def manager(lab: Lab, policy: str) -> Iterator[Manager]:
    """Return a service manager with a daemon that it has just started."""
    enforcer = Enforcer(lab.net, policy)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(enforcer.directory / "manager.sock"))
        listening.settimeout(0)
        started = Manager(lab, enforcer, listening)
        try:
            yield started
        finally:
            started.process.kill()
            started.process.wait()
            enforcer.cli("off", check=False)


def test_each_stage_of_a_life_is_told(manager: Manager) -> None:
    """In words for `systemctl status`, from the first check to the end."""
    manager.wait_for("READY=1")
    manager.process.send_signal(signal.SIGHUP)
    manager.wait_for("READY=1")
    enforcing = "STATUS=enforcing the policy of lab: 2 hosts"
    manager.wait_for(enforcing)
    manager.process.send_signal(signal.SIGINT)
    assert manager.process.wait(20) == 0
    told = [line for line in manager.hear() if line != "WATCHDOG=1"]
    stages = [line for line in told if not line.startswith("MONOTONIC_USEC=")]
    assert list(dict.fromkeys(stages)) == [
        "STATUS=examining the kernel",
        "STATUS=reading the policy",
        "STATUS=loading the programs",
        "STATUS=resolving the policy's hosts",
        "READY=1",
        enforcing,
        "RELOADING=1",
        "STATUS=reading the policy again",
        "STOPPING=1",
        "STATUS=removing all from the kernel",
        "STATUS=stopped: this machine may reach any address",
    ]


def test_the_watchdog_is_fed_while_packets_are_judged(manager: Manager) -> None:
    """By a daemon that hangs it is not, so that the service manager starts another."""
    manager.wait_for("READY=1")
    for _ in range(2):
        manager.wait_for("WATCHDOG=1")
    manager.process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{manager.process.pid}/stat")
    until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T", 5, "it to stand still")
    manager.hear()
    fed = manager.heard.count("WATCHDOG=1")
    with pytest.raises(DeadlinePassed):
        until(lambda: manager.hear().count("WATCHDOG=1") > fed, WATCHDOG_S, "the watchdog")
    manager.process.send_signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1")


def test_a_daemon_that_can_not_start_says_why(lab: Lab) -> None:
    """As the status of the service, too."""
    enforcer = Enforcer(lab.net, "hosts: [")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(enforcer.directory / "manager.sock"))
        listening.settimeout(0)
        manager = Manager(lab, enforcer, listening)
        assert manager.process.wait(START_TIMEOUT_S) == 2
        assert "policy.yaml:1" in manager.hear()[-1]
        assert manager.heard[-1].startswith("STATUS=")
