"""Prove again and again that the ruleset in the kernel does what it should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from enforcer.core.problem import Problem
from enforcer.core.proof import FAMILIES, PROVED_FOR_S, FamilyProof, Outcome
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.probe import Expected, Probe
from enforcer.daemon.problems import Problems
from enforcer.errors import DatapathError

KEY = "the proof"
EVERY_S = 5.0
# What was opened just now may not be in the sets yet: they are written in batches.
AGAIN_AFTER_S = 0.25
UPLINK = "connect this machine: ip route"
HINT = "look at what comes before it, or is gone: nft list ruleset"
WRONG = frozenset({Outcome.FAILED, Outcome.UNPROVED})


class Prover:
    """Keeps the last proof.

    Args:
        enforcement: says what is in force.
        probe: tries it; only used on *kernel*.
        kernel: the thread for it.
        lock: held while the ruleset is tried, so that it stays what is in force.
        problems: told what is not proved.

    Attributes:
        proof: what was shown last, of each family.
    """

    def __init__(
        self,
        enforcement: Enforcement,
        probe: Probe,
        kernel: KernelThread,
        lock: asyncio.Lock,
        problems: Problems,
    ) -> None:
        self._enforcement = enforcement
        self._probe = probe
        self._kernel = kernel
        self._lock = lock
        self._problems = problems
        self.proof: tuple[FamilyProof, ...] = ()
        # Wall clock for people, monotonic for the age.
        self._at: tuple[float, float] | None = None

    @property
    def at(self) -> float | None:
        """When something was proved last, seconds since the epoch; None: never."""
        return None if self._at is None else self._at[0]

    def age_s(self, now: float) -> float | None:
        """Return how long ago that was, *now* being monotonic."""
        return None if self._at is None else now - self._at[1]

    async def run(self) -> None:
        """Prove until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            async with self._lock:
                await self.prove()

    async def prove(self) -> None:
        """Try the ruleset now; whoever calls sees to it that nobody changes it meanwhile."""
        try:
            found = await self._tried()
            if any(each.outcome is Outcome.FAILED for each in found):
                await asyncio.sleep(AGAIN_AFTER_S)
                found = await self._tried()
        except DatapathError as exc:
            self.proof = ()
            text = f"nothing is proved of the ruleset: {exc.message}"
            self._problems.raise_(KEY, Problem(text, exc.hint))
            return
        self.proof = found
        self._problems.settle(KEY)
        self._tell(found)
        if any(each.outcome is Outcome.PROVED for each in found):
            self._at = time.time(), time.monotonic()

    async def _tried(self) -> tuple[FamilyProof, ...]:
        now = self._enforcement.in_force
        latest = {version: self._enforcement.latest(version) for version in FAMILIES}
        return await self._kernel.run(self._probe.of, Expected(now.policy, now.resolvers, latest))

    def _tell(self, found: Iterable[FamilyProof]) -> None:
        wrong = {each.family: each for each in found if each.outcome in WRONG}
        for name, each in wrong.items():
            doubt = "" if each.outcome is Outcome.FAILED else "not proved: "
            self._problems.raise_(f"{KEY} of {name}", Problem(f"{name}: {doubt}{each.why}", HINT))
        for name in FAMILIES.values():
            if name not in wrong:
                self._problems.settle(f"{KEY} of {name}")

    def stale(self, now: float) -> Problem | None:
        """Return what is wrong with the age of the proof at *now*, monotonic seconds."""
        age_s = self.age_s(now)
        if age_s is not None and age_s <= PROVED_FOR_S:
            return None
        if KEY in self._problems or any(each.outcome in WRONG for each in self.proof):
            return None  # told already
        if self.proof:
            return Problem("nothing is proved of the ruleset: no route leads out", UPLINK)
        return Problem("nothing is proved of the ruleset yet", None)
