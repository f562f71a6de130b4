"""The books: what is open until when, for which hosts, and what was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from enforcer.abi import MAX_LEARNED
from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.bindings import Bindings, Mark
from enforcer.core.changes import Change, Element
from enforcer.core.grants import Grants
from enforcer.core.holders import Holders
from enforcer.core.inherited import Claim
from enforcer.core.opened import Opened, Pair
from enforcer.core.policy import Policy
from enforcer.core.problem import Problem
from enforcer.core.promises import UNKNOWN_HOST, Origin
from enforcer.daemon.problems import Problems, ProblemsOfHosts
from enforcer.daemon.turns import in_turns


class Books:
    """Kept by what answers say and policies take away; the kernel is told by the caller.

    Args:
        policy: whose times count.
        problems: told which answers may not open what they name.
    """

    def __init__(self, policy: Policy, problems: Problems) -> None:
        self._bindings = Bindings(
            min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s, capacity=MAX_LEARNED
        )
        # What is open, and as much again that was.
        self._opened = Opened(2 * MAX_LEARNED)
        self._refused = ProblemsOfHosts(
            problems,
            "addresses of",
            "addresses that may not be opened are in the answers for",
            hint="see what it names: set private: true for those that may have such addresses",
        )

    def __len__(self) -> int:
        """Return how many (address, port) are open."""
        return len(self._bindings)

    @property
    def gave_way(self) -> int:
        """How many (address, port) were closed before their end to make room."""
        return self._bindings.gave_way

    def observe(
        self, answer: Answer, origin: Origin, grants: Grants, own: Collection[Address]
    ) -> Change:
        """Open what *answer* permits.

        Args:
            answer: just seen.
            origin: how it came here.
            grants: in force.
            own: addresses of this machine, never opened.
        """
        grant = grants.match(answer.qname)
        if grant is None:
            return Change()
        change = self._bindings.observe(answer, grant, time.monotonic(), origin=origin, own=own)
        # One for each pattern: names below a wildcard are anybody's to make up.
        if change.refused:
            refusal = change.refused[0]
            self._refused.raise_(str(grant.pattern), Problem(str(refusal), refusal.hint))
        elif answer.addresses:
            self._refused.settle(str(grant.pattern))
        opened = set(answer.addresses) - {refusal.address for refusal in change.refused}
        self._opened.add(
            answer.qname.to_text(omit_final_dot=True),
            [(address, port) for address in opened for port in grant.ports],
        )
        return change

    def adopt(self, learned: Mapping[Pair, float], own: Collection[Address]) -> Change:
        """Open what the kernel learned from answers that were lost on the way here."""
        change = self._bindings.adopt(learned, time.monotonic(), own=own)
        self._opened.add(UNKNOWN_HOST, _pairs(change.rewrite))
        return change

    def inherit(self, claims: Iterable[Claim]) -> None:
        """Go on with what an earlier process had open, of which *claims* are permitted."""
        for claim in (known := tuple(claims)):
            self._opened.add(claim.host, [(claim.address, claim.port)])
        self._bindings.inherit(known, time.monotonic())

    def opened(self) -> tuple[tuple[Pair, tuple[str, ...]], ...]:
        """Return what is or was open, with its hosts; not what nobody knows any for."""
        return tuple((pair, hosts) for pair, hosts in self._opened if hosts != (UNKNOWN_HOST,))

    def remember(self, opened: Iterable[tuple[Pair, Iterable[str]]]) -> None:
        """Know what an earlier process had *opened*, which need not be open any more."""
        self._opened.remember(opened)

    async def retain(self, policy: Policy, grants: Grants) -> tuple[Change, frozenset[Pair]]:
        """Keep open what another *policy* and its *grants* permit.

        It takes seconds with full books, which a thread of its own spends. What is observed
        meanwhile is told afterwards, to `observe`.

        Returns: what that changes in the kernel, and what is or was open and would not be
            by *grants*: its connections are to end.
        """
        now = time.monotonic()
        retained = partial(
            self._bindings.retained, min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s
        )
        closed = await asyncio.to_thread(self._opened.closed_by, grants)
        change = self._bindings.take(await asyncio.to_thread(retained, grants, now), now)
        # What has just expired is deleted too, but not closed. What a flood of names has
        # driven out of the memory is not known to be permitted.
        forgotten = (pair for pair in _pairs(change.delete) if pair not in self._opened)
        return change, closed.union(forgotten)

    def mark(self) -> Mark:
        """Return what `restore` needs to undo a later `retain`."""
        return self._bindings.mark()

    def restore(self, mark: Mark) -> Change:
        """Undo what was retained since *mark*; return what that changes in the kernel."""
        return self._bindings.restore(mark, time.monotonic())

    def forget(self, closed: Collection[Pair], grants: Grants) -> None:
        """Forget what was *closed*, and the problems of what *grants* have no more."""
        self._opened.forget(closed)
        self._refused.retain(lambda host: grants.written(host) is not None)

    def elements(self) -> tuple[Element, ...]:
        """Return all that is open now."""
        return self._bindings.elements(time.monotonic())

    def latest(self, version: int) -> Iterator[Pair]:
        """Yield what is open in one address family, what was opened last first."""
        return self._bindings.latest(version, time.monotonic())

    def pairs(self) -> frozenset[Pair]:
        """Return the addresses and ports that are open now."""
        return frozenset(self._bindings.pairs(time.monotonic()))

    def unknown(self, pairs: frozenset[Pair]) -> frozenset[Pair]:
        """Return those of *pairs* that are not open, nor known to have been a moment ago."""
        return frozenset(pair for pair in pairs - self.pairs() if pair not in self._opened)

    async def holders(self) -> Holders:
        """Return which hosts addresses are open for, in turns: a second with full books."""
        now, found = time.monotonic(), Holders()
        async for some in in_turns(self._bindings.pairs(now)):
            self._bindings.gather(some, found, now)
        return found


def _pairs(elements: Collection[Element]) -> list[Pair]:
    return [(element.address, element.port) for element in elements]
