"""One of the Vagrantfile's machines, by Vagrant and by ssh."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.vm.job import CHECKOUT

# Names of the machines that the suite is to run on; without it there is nothing to run.
MACHINES = "ENFORCER_VAGRANT"
# Set, machines are left as they are, and taken as they are by the next run.
KEEP = "ENFORCER_VAGRANT_KEEP"
_FOLDER = CHECKOUT / "vagrant"
_UP_TIMEOUT_S = 3600
_COMMAND_TIMEOUT_S = 600


class Failed(AssertionError):
    """A command did; the message has what it said."""


class Machine:
    """A machine that is up.

    Args:
        name: in the Vagrantfile.
        ssh_config: what `vagrant ssh-config` says of it.
    """

    def __init__(self, name: str, ssh_config: Path) -> None:
        self.name = name
        self._ssh_config = ssh_config

    def run(
        self, command: str, *, check: bool = True, timeout_s: float = _COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell's *command* as root.

        Raises:
            Failed: its exit status is not 0, and *check* is true.
        """
        ssh = ("ssh", "-F", str(self._ssh_config), self.name, "sudo", "sh", "-c")
        return _run(*ssh, shlex.quote(command), check=check, timeout_s=timeout_s)

    def restart(self) -> None:
        """Halt and boot it."""
        ssh = ("ssh", "-F", str(self._ssh_config), "-O", "exit", self.name)
        _run(*ssh, check=False, timeout_s=_COMMAND_TIMEOUT_S)
        vagrant("reload", self.name)


def vagrant(*arguments: str) -> str:
    """Run `vagrant` for the checkout's Vagrantfile; return what it printed."""
    return _run("vagrant", *arguments, timeout_s=_UP_TIMEOUT_S).stdout


@contextlib.contextmanager
def up(name: str, folder: Path) -> Iterator[Machine]:
    """Make the machine and provision it; it is destroyed with the block.

    Args:
        name: in the Vagrantfile.
        folder: for a file of ssh's.
    """
    try:
        vagrant("up", name)
        ssh_config = folder / "ssh-config"
        # One connection serves all commands.
        shared = f"  ControlMaster auto\n  ControlPath {folder}/ssh\n  ControlPersist 600\n"
        ssh_config.write_text(vagrant("ssh-config", name).rstrip() + f"\n{shared}")
        yield Machine(name, ssh_config)
    finally:
        if not os.environ.get(KEEP):
            vagrant("destroy", "--force", name)


def _run(*command: str, check: bool = True, timeout_s: float) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=_FOLDER,
        timeout=timeout_s,
    )
    if check and done.returncode:
        text = f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        raise Failed(text)
    return done
