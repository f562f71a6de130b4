"""Serve metrics on a port of the loopback where the policy in force names one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from enforcer.core.problem import Problem
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.problems import Problems
from enforcer.edge.control import Text
from enforcer.edge.metrics_port import MetricsPort, PortError
from enforcer.log import LOGGER

KEY = "the metrics port"
# A port that is taken may become free.
AGAIN_AFTER_S = 5.0


class Scraping:
    """The port that is served, and the one that is wanted.

    Args:
        enforcement: says what is in force.
        render: returns the metrics.
        problems: told if the port can't be served: nothing else depends on it.
    """

    def __init__(
        self, enforcement: Enforcement, render: Callable[[], Awaitable[Text]], problems: Problems
    ) -> None:
        self._enforcement = enforcement
        self._port = MetricsPort(render)
        self._problems = problems
        self._served: int | None = None

    async def follow(self) -> None:
        """Serve the port that the policy in force names, and no other."""
        wanted = self._enforcement.in_force.policy.metrics_port
        if wanted == self._served:
            self._problems.settle(KEY)
            return
        self._served = None
        try:
            if wanted is None:
                await self._port.close()
            else:
                await self._port.listen(wanted)
                LOGGER.info("metrics are served on 127.0.0.1 port %d", wanted)
        except PortError as exc:
            self._problems.raise_(KEY, Problem(f"no metrics there: {exc.message}", exc.hint))
            return
        self._served = wanted
        self._problems.settle(KEY)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self.follow()
            await asyncio.sleep(AGAIN_AFTER_S)

    async def close(self) -> None:
        """Serve no more."""
        await self._port.close()
