"""The real nscd: what a machine's programs ask for names before they ask DNS."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.lab.namespace import CommandFailed
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_START_TIMEOUT_S = 20
_CONFIG = """
enable-cache hosts yes
positive-time-to-live hosts 3600
persistent hosts no
"""


@contextlib.contextmanager
def nscd(host: Namespace) -> Iterator[subprocess.Popen[str]]:
    """Run nscd for the names of hosts on *host* until the block ends."""
    config, log_file = host.directory / "nscd.conf", host.directory / "nscd.log"
    config.write_text(_CONFIG)
    # The namespace hides the machine's own where there is one.
    host.run("mkdir", "-p", "/run/nscd")
    argv = ("nscd", "--foreground", f"--config-file={config}")
    with log_file.open("w") as log, host.popen(*argv, stdout=log, stderr=log) as process:
        try:

            def listening() -> bool:
                if process.poll() is not None:
                    raise CommandFailed(f"nscd ended: {log_file.read_text()}")
                path = f"/proc/{host.pid}/root/run/nscd/socket"
                with socket.socket(socket.AF_UNIX) as client:
                    return client.connect_ex(path) == 0

            until(listening, _START_TIMEOUT_S, "nscd to listen")
            yield process
        finally:
            process.kill()
