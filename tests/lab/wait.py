"""Waiting for a condition with a deadline, the lab's only way to wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from tests.lab.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_POLL_INTERVAL_S = 0.005


class DeadlinePassed(AssertionError):
    """The condition did not come true in time."""


def until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Return the first true result of *condition*.

    Args:
        condition: is asked again and again; what it raises is passed on.
        timeout_s: seconds until giving up, on a machine that is not slow.
        what: the thing waited for, for the message.

    Raises:
        DeadlinePassed: it stayed false for *timeout_s* seconds.
    """
    timeout_s *= PATIENCE
    deadline = time.monotonic() + timeout_s
    while True:
        if result := condition():
            return result
        if time.monotonic() >= deadline:
            message = f"{what}: not within {timeout_s:g} s"
            raise DeadlinePassed(message)
        time.sleep(_POLL_INTERVAL_S)
