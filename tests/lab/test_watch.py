"""`enforcer watch` on a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

SHOWN_WITHIN_S = 15
ENDS_WITHIN_S = 10


class Screen:
    """What a command writes to a terminal of its own."""

    def __init__(self, lab: Lab, *argv: str) -> None:
        self._here, there = pty.openpty()
        os.set_blocking(self._here, False)
        self._written = b""
        self.process: subprocess.Popen[str] = lab.net.host.popen(
            *argv, stdin=there, stdout=there, stderr=there, env={"TERM": "xterm"}
        )
        os.close(there)

    def shows(self, text: str) -> bool:
        """Tell whether *text* was written since it was last found."""
        with contextlib.suppress(BlockingIOError, OSError):
            while more := os.read(self._here, 65536):
                self._written += more
        _, found, rest = self._written.partition(text.encode())
        if found:
            self._written = rest
        return bool(found)

    def close(self) -> None:
        """End the command and let go of the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self._here)


@contextlib.contextmanager
def watching(lab: Lab, enforcer: Enforcer) -> Iterator[Screen]:
    """Watch *enforcer* until the block ends."""
    # Whoever started us may ignore what Ctrl-C sends, and so would it.
    screen = Screen(lab, "env", "--default-signal=INT", *enforcer.argv("watch"))
    try:
        yield screen
    finally:
        screen.close()


def test_what_changes_is_shown(lab: Lab, policy: str) -> None:
    """A denial, a daemon that is killed and one that comes back; Ctrl-C ends it well."""
    with running(lab.net, policy) as enforcer, watching(lab, enforcer) as screen:

        def shown(text: str) -> None:
            until(lambda: screen.shows(text), SHOWN_WITHIN_S, text)

        shown("enforcing, healthy")
        assert attempt(lab.net.host, DENIED.addresses[0]).outcome == "ECONNREFUSED"
        shown(f"registry access to {DENIED.addresses[0]} is not allowed by lab's policy")
        enforcer.kill()
        shown("enforcing without the daemon")
        enforcer.start()
        shown("enforcing, healthy")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(ENDS_WITHIN_S) == 0


def test_a_pipe_is_told_what_to_use(shared_lab: Lab, enforcer: Enforcer) -> None:
    """Instead of a screen that nobody sees."""
    done = shared_lab.net.host.run(*enforcer.argv("watch"), check=False)
    assert done.returncode == 2
    assert "use enforcer status, or denials --follow" in done.stderr
