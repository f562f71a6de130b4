"""Containers on a network of a real dockerd, which answers their DNS queries at 127.0.0.11."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import client, connect
from tests.lab.pull import Docker, dockerd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_IMAGE = "lab/host:1"
_NETWORK = "lab-net"
_PYTHON = "/usr/bin/python3"
_SCRIPTS = Path(__file__).parent
# What a merged /usr has beside it, and the loader's path is one of them.
_LINKS = ("bin", "lib", "lib64", "sbin")


@dataclass(frozen=True)
class Containers:
    """A user-defined network, IPv4 and IPv6, and the containers on it."""

    docker: Docker

    def run(self, *argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run *argv* in a new container to its end."""
        host = self.docker.namespace
        return host.run(*self._command("--rm", argv=argv), check=check, timeout_s=60)

    @contextlib.contextmanager
    def serving(self, name: str, port: int, *options: str) -> Iterator[None]:
        """Run a container called *name* that serves HTTP on *port*, made with *options*."""
        host = self.docker.namespace
        argv = (_PYTHON, "-m", "http.server", str(port))
        host.run(*self._command("--detach", f"--name={name}", *options, argv=argv))
        try:
            yield
        finally:
            host.run(*self.docker.command("rm", "--force", name))

    def connect_to_answers(self, zone: str, *, family: int, count: int) -> client.Connections:
        """Do as :func:`client.connect_to_answers` does."""
        options = (f"--family={family}", f"--count={count}")
        done = self.run(_PYTHON, _SCRIPTS / "client.py", zone, *options)
        return client.Connections(**json.loads(done.stdout))

    def attempts(
        self, host: str, port: int = 443, *, within: str = ""
    ) -> tuple[connect.Attempt, ...]:
        """Do as :func:`connect.attempts` does, in a new container or *within* one that runs."""
        argv = (_PYTHON, _SCRIPTS / "connect.py", host, str(port), "tcp")
        if within:
            done = self.docker.namespace.run(*self.docker.command("exec", within, *argv))
        else:
            done = self.run(*argv)
        return tuple(connect.Attempt(**attempt) for attempt in json.loads(done.stdout))

    def _command(self, *options: str, argv: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
        mounts = (f"--volume={path}:{path}:ro" for path in ("/usr", _SCRIPTS))
        arguments = ("run", f"--network={_NETWORK}", *mounts, *options, _IMAGE, *argv)
        return self.docker.command(*arguments)


@contextlib.contextmanager
def containers(namespace: Namespace) -> Iterator[Containers]:
    """Run a dockerd with a network for containers in *namespace* until the block ends.

    Their image has the machine's own /usr, read-only: no other is needed.
    """
    tar = namespace.directory / "image.tar"
    tar.write_bytes(_image())
    with dockerd(namespace, Path("/dev/null"), ruleset=True) as docker:
        namespace.run(*docker.command("import", tar, _IMAGE))
        made = ("network", "create", "--ipv6", "--subnet=fd31::/64", "--subnet=172.31.0.0/24")
        namespace.run(*docker.command(*made, _NETWORK))
        yield Containers(docker)


def _image() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in _LINKS:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(member)
    return buffer.getvalue()
