"""How the daemon ends when it is asked to, and what that leaves in the kernel."""

from __future__ import annotations

import signal
from enum import Enum


class Ending(Enum):
    """What an end that was asked for leaves in the kernel."""

    OPEN = "nothing: the machine may reach any address"
    CLOSED = "all of it, for the next start to take over"


# SIGTERM is sent by whoever wants a process to go, for whatever reason: a restart, a shutdown,
# a killer of processes when memory is short. None of them says that the machine is to be open.
# Whoever presses Ctrl-C at the daemon does, and `systemctl stop` sends the same.
BY_SIGNAL = {signal.SIGINT: Ending.OPEN, signal.SIGTERM: Ending.CLOSED}
