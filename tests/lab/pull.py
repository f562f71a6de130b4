"""Pulling images with skopeo and with a real dockerd, as a developer on the machine would."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.namespace import CommandFailed
from tests.lab.patience import PATIENCE
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_START_TIMEOUT_S = 30
# Without reject it tries for minutes, and is ended before whoever waits for it gives up.
_SKOPEO_TIMEOUT_S = 20
# Whatever its options say, dockerd keeps a key and a directory of sockets there. Its
# containers' cgroups are made below its own, which is all of the hierarchy that it sees.
_WITHOUT_TRACES = """
for directory in /etc/docker /run/docker; do
  mkdir -p "$directory" && mount -t tmpfs tmpfs "$directory" || exit
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
exec dockerd "$@"
"""


@dataclass(frozen=True)
class Pull:
    """What came of a pull.

    Attributes:
        message: what the client told its user.
    """

    ok: bool
    message: str
    elapsed_s: float


def _timed(namespace: Namespace, *argv: str | Path, ca: Path) -> Pull:
    start = time.monotonic()
    done = namespace.run(*argv, check=False, env={"SSL_CERT_FILE": str(ca)})
    elapsed_s = time.monotonic() - start
    return Pull(done.returncode == 0, (done.stdout + done.stderr).strip(), elapsed_s)


def skopeo(namespace: Namespace, image: str, ca: Path) -> Pull:
    """Pull *image*, all layers of it, into a new directory."""
    target = namespace.directory / f"pull-{time.monotonic_ns()}"
    bound = f"--command-timeout={_SKOPEO_TIMEOUT_S * PATIENCE:.0f}s"
    command = ("skopeo", "--insecure-policy", bound, "copy", "--quiet")
    return _timed(namespace, *command, f"docker://{image}", f"dir:{target}", ca=ca)


@dataclass(frozen=True)
class Docker:
    """A running dockerd in a namespace."""

    namespace: Namespace
    socket_path: Path
    ca: Path

    def command(self, *arguments: str | Path) -> tuple[str | Path, ...]:
        """Return the command line of its client."""
        return ("docker", "--host", f"unix://{self.socket_path}", *arguments)

    def pull(self, image: str) -> Pull:
        """Pull *image* anew: what the daemon has of it is removed first."""
        self.namespace.run(*self.command("image", "rm", "--force", image), check=False)
        return _timed(self.namespace, *self.command("pull", "--quiet", image), ca=self.ca)


@contextlib.contextmanager
def dockerd(namespace: Namespace, ca: Path, *, ruleset: bool = False) -> Iterator[Docker]:
    """Run a dockerd of its own, with its own containerd, until the block ends.

    It makes no bridge unless asked, and writes below the namespace's directory only.

    Args:
        namespace: where.
        ca: the PEM file of the only CA it trusts.
        ruleset: whether it makes the rules that networks of containers need.
    """
    directory = Path(tempfile.mkdtemp(prefix="docker-", dir=namespace.directory))
    path = directory / "docker.sock"
    (directory / "daemon.json").write_text("{}")
    with (
        (directory / "log").open("w+") as log,
        namespace.popen(
            "unshare",
            "--mount",
            "--cgroup",
            "sh",
            "-c",
            _WITHOUT_TRACES,
            "sh",
            "--bridge=none",
            f"--iptables={str(ruleset).lower()}",
            "--ip6tables=false",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--storage-driver=vfs",
            f"--config-file={directory / 'daemon.json'}",
            f"--data-root={directory / 'data'}",
            f"--exec-root={directory / 'exec'}",
            f"--pidfile={directory / 'pid'}",
            f"--host=unix://{path}",
            env={"SSL_CERT_FILE": str(ca)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:

            def listening() -> bool:
                if process.poll() is not None:
                    log.seek(0)
                    raise CommandFailed(f"dockerd ended at start: {log.read()}")
                with socket.socket(socket.AF_UNIX) as client:
                    return client.connect_ex(str(path)) == 0

            until(listening, _START_TIMEOUT_S, "dockerd to listen")
            yield Docker(namespace, path, ca)
        finally:
            # dockerd ends its containerd when asked to end.
            process.terminate()
