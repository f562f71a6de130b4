"""A kernel thread for tests without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from enforcer.daemon.kernel_thread import KernelThread

P = ParamSpec("P")
T = TypeVar("T")


class AtOnce(KernelThread):
    """Runs what it is given at once."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function*."""
        return function(*args, **kwargs)
