"""Signals as the event loop hears them, however many come at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable

_MISSED = 4096  # signals at once: a moment's


def hear(number: signal.Signals, callback: Callable[..., object], *args: object) -> None:
    """Have the running loop, which is the main thread's, call *callback* on a signal.

    Of more signals than its pipe holds, unheard, Python prints a traceback for each unless
    told not to, which asyncio does not (add_signal_handler() in asyncio/unix_events.py).
    """
    asyncio.get_running_loop().add_signal_handler(number, callback, *args)
    missed, meanwhile = socket.socketpair()
    with missed, meanwhile:
        for each in (missed, meanwhile):
            each.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        # Only who sets another learns which one there is.
        usual = signal.set_wakeup_fd(meanwhile.fileno())
        signal.set_wakeup_fd(usual, warn_on_full_buffer=False)
        with contextlib.suppress(BlockingIOError):
            for each_number in missed.recv(_MISSED):
                signal.raise_signal(each_number)
