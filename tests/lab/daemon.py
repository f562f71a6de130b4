"""The daemon itself: ``enforcer run`` on the host of a lab, and the other commands there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.patience import PATIENCE
from tests.lab.tier import current, options
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.topology import Topology

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


class NotStarted(AssertionError):
    """``enforcer run`` ended, or went silent, before it enforced.

    Attributes:
        status: its exit status; None when it had to be killed.
        stderr: what it said.
    """

    def __init__(self, status: int | None, stderr: str) -> None:
        super().__init__(f"enforcer run: exit status {status} before it enforced\n{stderr}")
        self.status = status
        self.stderr = stderr


class Enforcer:
    """The command line of enforcer on the host of a lab, and at most one daemon.

    Args:
        net: the lab; its host is the machine enforced on.
        policy: text of the policy file.
        name: tells several on one host apart; each has a runtime directory of its own.
        code: folder with the package; None: the one of this checkout.
        path: where the daemon looks for programs; None: where everybody does.
        tier: what it has to do without; None: what the environment says.
        prefix: of the daemon's command line, which makes it run under other conditions.
    """

    def __init__(
        self,
        net: Topology,
        policy: str,
        name: str = "enforcer",
        code: Path | None = None,
        path: str | None = None,
        tier: str | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self._net = net
        self._prefix = prefix
        self._tier = options(tier or current())
        self._env = {} if code is None else {"PYTHONPATH": str(code)}
        self._env |= {} if path is None else {"PATH": path}
        self.directory = net.directory / name
        self.directory.mkdir(exist_ok=True)
        self.runtime_dir = self.directory / "run"
        self.policy_file = self.directory / "policy.yaml"
        self.policy_file.write_text(policy)
        self._log = self.directory / "log"
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The daemon's process, started with :meth:`start`."""
        assert self._process is not None, "the daemon was not started"
        return self._process

    @property
    def started(self) -> bool:
        """Whether it was started, with :meth:`start`, whatever became of it."""
        return self._process is not None

    @property
    def log(self) -> str:
        """What the daemon logged since its last start."""
        return self._log.read_text()

    def start(self, *options: str) -> None:
        """Start the daemon and wait until it says that it enforces.

        Raises:
            NotStarted: it ended before, or said nothing in time.
        """
        self._net.host.require_isolated()
        path = self.directory / "notify.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self._log.open("w") as log:
            notify.bind(str(path))
            notify.settimeout(0)
            self._process = self._net.host.popen(
                *self._prefix,
                *self.argv(
                    "run",
                    "--policy",
                    str(self.policy_file),
                    "--cgroup",
                    str(self._net.cgroup),
                    *self._tier,
                    *options,
                ),
                env={"NOTIFY_SOCKET": str(path)} | self._env,
                stdout=log,
                stderr=log,
            )

            def ready() -> bool:
                if self.process.poll() is not None:
                    raise NotStarted(self.process.returncode, self.log)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        if b"READY=1" in notify.recv(4096).splitlines():
                            return True
                return False

            try:
                until(ready, START_TIMEOUT_S, f"enforcer to be ready ({self._log})")
            except BaseException:
                self.kill()
                raise

    def stop(self) -> int:
        """Ask the daemon to end and to leave nothing, as Ctrl-C does; return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT_S * PATIENCE)

    def kill(self) -> None:
        """Kill the daemon where it stands."""
        self.process.kill()
        self.process.wait()

    def cli(
        self, *arguments: str, check: bool = True, user: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``enforcer`` with *arguments* on the host, for this runtime directory."""
        argv = self.argv(*arguments)
        return self._net.host.run(*argv, check=check, user=user, timeout_s=START_TIMEOUT_S)

    def status(self) -> dict[str, Any]:
        """Return what ``enforcer status --json`` says, whatever its exit status."""
        status: dict[str, Any] = json.loads(self.cli("status", "--json", check=False).stdout)
        return status

    def in_force(self) -> dict[str, Any]:
        """Return what status says of the policy in force, whatever became of its file."""
        policy: dict[str, Any] = self.status()["policy"]
        return policy | {"changed": None}

    def reload(self, policy: str) -> None:
        """Replace the policy file and have the daemon read it by SIGHUP; return when it has."""
        before = self.in_force()
        self.policy_file.write_text(policy)
        os.kill(self.process.pid, signal.SIGHUP)

        def loaded() -> bool:
            return self.in_force() != before

        until(loaded, START_TIMEOUT_S, "the policy to be loaded")

    def put_in_force(self, policy: str) -> None:
        """Replace the policy file and reload it; return when what it takes away has ended too."""
        self.policy_file.write_text(policy)
        self.cli("reload")

    def argv(self, command: str, *options: str) -> tuple[str, ...]:
        """Return the command line of `enforcer` for this runtime directory."""
        enforcer = Path(sysconfig.get_path("scripts"), "enforcer")
        return (str(enforcer), command, "--runtime-dir", str(self.runtime_dir), *options)


@contextlib.contextmanager
def running(
    net: Topology,
    policy: str,
    name: str = "enforcer",
    path: str | None = None,
    tier: str | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[Enforcer]:
    """Run the daemon on the lab's host with *policy* until the block ends.

    Its log goes to standard error then, which pytest shows of a test that failed.
    """
    enforcer = Enforcer(net, policy, name, path=path, tier=tier, prefix=prefix)
    enforcer.start()
    try:
        yield enforcer
    finally:
        if enforcer.process.poll() is None:
            try:
                enforcer.stop()
            finally:
                enforcer.kill()
        sys.stderr.write(enforcer.log)
    assert "Traceback" not in enforcer.log, "the daemon met an error of its own"
