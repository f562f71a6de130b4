"""A rootless container's way out: a namespace of an unprivileged user, and what leads out of it.

Also the script that makes one with slirp4netns; standard library only. Podman and rootless docker
start the same helpers in the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

NOBODY = 65534
# By how they are started: what their process is called.
HELPERS = {"slirp4netns": "slirp4netns", "pasta": "passt"}
# By `./dev setup`, where the release has it.
_UNPACKED = Path(__file__).parents[2] / ".unpacked" / "usr" / "bin"
_TIMEOUT_S = 30
_WAIT = 'echo ready; read go; exec "$0" "$@"'


def program(helper: str) -> str | None:
    """Return the path of *helper*, if it is there."""
    return shutil.which(helper, path=f"{os.environ['PATH']}:{_UNPACKED}")


def command(helper: str, address: str) -> tuple[str, ...]:
    """Return what connects to *address* from a rootless container, and prints what came of it."""
    script = str(Path(__file__).with_name("connect.py"))
    attempt = (sys.executable, script, address, "443", "tcp")
    if helper == "pasta":
        found = program(helper)
        assert found is not None
        return (found, "--config-net", "--foreground", "--quiet", "--", *attempt)
    return (sys.executable, __file__, *attempt)


def attempt(namespace: Namespace, helper: str, address: str) -> str:
    """Return what came of connecting to *address* from a rootless container of *namespace*."""
    done = namespace.run(*command(helper, address), user=NOBODY, timeout_s=_TIMEOUT_S)
    outcome: str = json.loads(done.stdout)[0]["outcome"]
    return outcome


def main(*argv: str) -> None:
    """Run a command in a network of its own, which slirp4netns leads out of."""
    inside = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", _WAIT)
    with subprocess.Popen(
        (*inside, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as container:
        assert container.stdin is not None
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"
        reader, writer = os.pipe()
        helper = ("slirp4netns", "--configure", f"--ready-fd={writer}", str(container.pid), "tap0")
        with subprocess.Popen(
            helper, pass_fds=(writer,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as way_out:
            os.close(writer)
            assert os.read(reader, 1) == b"1", "slirp4netns came to nothing"
            sys.stdout.write(container.communicate("go\n")[0])
            way_out.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
