"""A network namespace with a mount namespace of its own, and running things in it.

Both are held by one process that ends when its standard input does, so they
can't outlive the test. Commands join them with nsenter: ``ip netns exec`` would
mount /sys anew and hide the cgroups.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from enforcer.edge.kept import FOLDER
from tests.lab.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_RUN_TIMEOUT_S = 30

# Moves the shell into a cgroup, then becomes the command, so that the command's
# process is in the cgroup from its first instruction and keeps its pid.
_ENTER_CGROUP = 'echo $$ > "$0"/cgroup.procs && exec "$@"'

# nsswitch.conf is replaced as well, and sockets of caches are hidden: a machine with
# nss-resolve, mdns or nscd would ask daemons outside of the namespace.
_FILES = {
    "resolv.conf": "",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
}
_HOLD = """
set -e
for file in resolv.conf hosts nsswitch.conf; do
  mount --bind "$0/$file" "$(readlink -m "/etc/$file")"
done
# Maps pinned inside belong to the namespace, not to the machine.
if [ -d /sys/fs/bpf ]; then mount -t bpf bpf /sys/fs/bpf; fi
for directory in /run/nscd /run/systemd/resolve; do
  if [ -d "$directory" ]; then mount -t tmpfs tmpfs "$directory"; fi
done
ip link set lo up
echo ready
exec cat
"""


class CommandFailed(AssertionError):
    """A command of the lab failed; the message has its output."""


class Namespace:
    """Networking, /etc/resolv.conf and /etc/hosts apart from the machine's.

    Args:
        directory: existing directory for its files; its name is the namespace's.
        cgroup: existing cgroup v2 directory for all its processes.
    """

    def __init__(self, directory: Path, cgroup: Path) -> None:
        self.name = directory.name
        self.directory = directory
        self.cgroup = cgroup
        self.hosts_file = directory / "hosts"
        self.resolv_conf = directory / "resolv.conf"
        self._holder: subprocess.Popen[str] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[Namespace]:
        """Make the namespaces; they end with the block, or with this process."""
        for name, text in _FILES.items():
            (self.directory / name).write_text(text)
        argv = ("unshare", "--net", "--mount", "sh", "-c", _HOLD, str(self.directory))
        with subprocess.Popen(
            ("sh", "-c", _ENTER_CGROUP, str(self.cgroup), *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self.directory),
        ) as self._holder:
            try:
                assert self._holder.stdout is not None
                assert self._holder.stderr is not None
                if self._holder.stdout.readline() != "ready\n":
                    message = f"namespace {self.name}: {self._holder.stderr.read()}"
                    raise CommandFailed(message)
                self.require_isolated()
                yield self
            finally:
                self._holder.kill()

    @property
    def pid(self) -> int:
        """The process that holds the namespaces."""
        assert self._holder is not None, f"namespace {self.name} is not made yet"
        return self._holder.pid

    def require_isolated(self) -> None:
        """Refuse to go on when this is the network namespace the test itself runs in."""
        if Path(f"/proc/{self.pid}/ns/net").samefile("/proc/self/ns/net"):
            message = f"namespace {self.name} is the machine's own: nothing may be enforced there"
            raise CommandFailed(message)

    def command(self, *argv: str | Path, user: int = 0) -> tuple[str, ...]:
        """Return the command line that runs *argv* inside, for use by Popen.

        Args:
            argv: the command and its arguments.
            user: numeric user id it runs as; one other than root keeps the right
                to read files, wherever the project is installed, and no other.
        """
        drop: tuple[str, ...] = ()
        if user:
            cap = "-all,+dac_read_search"
            drop = (
                "setpriv",
                f"--reuid={user}",
                f"--regid={user}",
                "--clear-groups",
                f"--bounding-set={cap}",
                f"--inh-caps={cap}",
                f"--ambient-caps={cap}",
            )
        return (
            "nsenter",
            f"--target={self.pid}",
            "--net",
            "--mount",
            "sh",
            "-c",
            _ENTER_CGROUP,
            str(self.cgroup),
            *drop,
            *map(str, argv),
        )

    def popen(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[str]:
        """Start *argv* inside; its pid is the command's own."""
        return subprocess.Popen(
            self.command(*argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            env=environment(self.directory, env),
            pass_fds=pass_fds,
        )

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        user: int = 0,
        timeout_s: float = _RUN_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run *argv* inside to its end.

        Raises:
            CommandFailed: its exit status is not 0 and *check* is true.
            subprocess.TimeoutExpired: it took longer than *timeout_s* seconds, on a machine
                that is not slow.
        """
        done = subprocess.run(
            self.command(*argv, user=user),
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(self.directory, env),
            timeout=timeout_s * PATIENCE,
        )
        if check and done.returncode:
            message = (
                f"{self.name}: {' '.join(map(str, argv))}: exit status {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
            raise CommandFailed(message)
        return done

    def ip(self, *lines: str) -> None:
        """Run *lines* as one batch of iproute2 commands."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines))

    def nft(self, text: str) -> None:
        """Apply *text* as one nftables transaction."""
        self.require_isolated()
        self.run("nft", "-f", "-", stdin=text)

    def sysctl(self, *settings: str) -> None:
        """Apply settings of the form ``net.ipv4.ip_forward=1``."""
        self.run("sysctl", "-q", "-w", *settings)

    def call(self, function: Callable[[], T]) -> T:
        """Return what *function* returns in a thread that joined the network namespace.

        Sockets made there stay in the namespace and can be used by any thread.
        """
        result: Future[T] = Future()

        def joined() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/proc/{self.pid}/ns/net").open() as namespace:
                if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    result.set_exception(OSError(number, os.strerror(number)))
                    return
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                result.set_exception(error)

        thread = threading.Thread(target=joined)
        thread.start()
        thread.join()
        return result.result()


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process in the lab: none of the caller's proxies or CAs."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    kept = {FOLDER: os.environ[FOLDER]} if FOLDER in os.environ else {}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **kept, **(more or {})}
