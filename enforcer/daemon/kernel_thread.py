"""One thread for all that blocks in the kernel, in the order it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class KernelThread:
    """Run blocking calls beside the event loop, one at a time.

    pyroute2 0.9.7 runs an event loop of its own inside each call, which a thread
    with a running one can't do.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "kernel")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* on the thread and return what it returns.

        A caller that is cancelled still waits: half a change of the kernel's
        state is none that anybody expects.
        """
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait([call])
            raise

    def close(self) -> None:
        """End the thread once its calls are done."""
        self._executor.shutdown()
