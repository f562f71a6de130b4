"""Bindings: which addresses and ports are open until when, and for which hosts.

Pure: no I/O, no clock; every `now` is in monotonic seconds and never goes back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from enforcer.core.addresses import Address, learnable
from enforcer.core.answers import Answer
from enforcer.core.changes import Change, Element, Refusal
from enforcer.core.grants import Grant, Grants
from enforcer.core.holders import Binding, Holders
from enforcer.core.inherited import Claim
from enforcer.core.opened import Pair
from enforcer.core.promises import UNKNOWN_HOST, Origin, Promises
from enforcer.core.ranking import Ranking
from enforcer.core.shares import Shares


@dataclass(frozen=True)
class Mark:
    """What bindings were, for `Bindings.restore`."""

    min_ttl_s: int
    grace_s: int
    entries: dict[Pair, Promises]
    ends: Ranking[Pair]
    shares: Shares


@dataclass(frozen=True)
class Kept:
    """What of bindings another policy permits, and what of it the kernel is to be told."""

    books: Mark
    rewrite: tuple[Pair, ...]


class Bindings:
    """The elements that the kernel holds, and the answers that justify them.

    Args:
        min_ttl_s: a smaller TTL counts as this, in seconds.
        grace_s: seconds on top: clients use addresses past their TTL.
        capacity: at most this many elements; the entry of the policy that has most
            makes room for a new one (`shares`).

    Attributes:
        gave_way: how many elements made room before their end.
    """

    def __init__(self, *, min_ttl_s: int, grace_s: int, capacity: int) -> None:
        self._min_ttl_s = min_ttl_s
        self._grace_s = grace_s
        self._capacity = capacity
        self._entries = entries = dict[Pair, Promises]()

        # No method: what a reload replaces is to go at once, and not with a collector that
        # leaves it alone (edge/policy_file.py).
        def end(pair: Pair) -> float:
            return entries[pair].written

        self._ends = Ranking(end)
        self._shares = Shares(end)
        self.gave_way = 0

    def __len__(self) -> int:
        return len(self._entries)

    def observe(
        self,
        answer: Answer,
        grant: Grant,
        now: float,
        *,
        origin: Origin,
        own: Collection[Address] = (),
    ) -> Change:
        """Record *answer* and return what it changes in the kernel.

        A host keeps an address for the longest remaining lifetime,
        max(TTL, min_ttl_s) + grace_s, of the answers that named it; an element
        lasts as long as the last of its hosts.

        Args:
            answer: to a question that *grant* matches.
            grant: which ports to open, and whether private addresses may be.
            now: monotonic seconds.
            origin: how the answer came here.
            own: addresses of this machine, never learned.
        """
        self.expire(now)
        host = answer.qname.to_text(omit_final_dot=True)
        expires = now + max(answer.ttl_s, self._min_ttl_s) + self._grace_s
        rewrite: list[Pair] = []
        refused: list[Refusal] = []
        for address in answer.addresses:
            if not learnable(address, private=grant.private, own=own):
                private = learnable(address, private=True, own=own)
                refused.append(Refusal(host, address, private))
                continue
            for port in grant.ports:
                key = address, port
                if self._hold(key, host, expires, origin, now):
                    rewrite.append(key)
                self._shares.add(grant.pattern, key)
        delete = self._make_room()
        return Change(self._elements(rewrite), delete, tuple(refused))

    def adopt(
        self,
        learned: Mapping[Pair, float],
        now: float,
        *,
        own: Collection[Address] = (),
    ) -> Change:
        """Record what the kernel learned from answers that were lost on the way here.

        Nobody knows their hosts any more, so nothing of it outlives a `retain`.

        Args:
            learned: when each (address, port) ends, as the kernel has it.
            now: monotonic seconds.
            own: addresses of this machine, never learned.
        """
        self.expire(now)
        rewrite = []
        for key, expires in learned.items():
            known = self._entries.get(key)
            if expires <= now or (known is not None and expires <= known.written):
                continue
            if learnable(key[0], private=True, own=own):  # the kernel knew whether it may be
                entry = self._entries.setdefault(key, Promises())
                entry.add(UNKNOWN_HOST, expires, frozenset({Origin.KERNEL}), now)
                entry.write(now)
                rewrite.append(key)
                if known is None:
                    self._ends.put(key)
                    self._shares.add(None, key)
        delete = self._make_room()
        return Change(self._elements(rewrite), delete)

    def inherit(self, claims: Iterable[Claim], now: float) -> None:
        """Record what an earlier process held open and told the kernel.

        Args:
            claims: to what its sets hold, which are to be written as a whole after this.
            now: monotonic seconds.
        """
        self.expire(now)
        for claim in claims:
            if claim.expires > now:
                key = claim.address, claim.port
                self._hold(key, claim.host, claim.expires, Origin.EARLIER, now)
                self._shares.add(claim.pattern, key)
        self._make_room()

    def retain(self, grants: Grants, now: float, *, min_ttl_s: int, grace_s: int) -> Change:
        """Keep what another policy permits and return what that changes in the kernel.

        Hosts without a grant lose their addresses, hosts that are no longer
        `private` their private ones; ports become those of the grant. Lifetimes
        once promised stay: *min_ttl_s* and *grace_s* are for later answers.
        """
        return self.take(self.retained(grants, now, min_ttl_s=min_ttl_s, grace_s=grace_s), now)

    def retained(self, grants: Grants, now: float, *, min_ttl_s: int, grace_s: int) -> Kept:
        """Return what `retain` keeps, for `take` with the same *now*: seconds with full books.

        Until then nothing may be recorded; to read, in another thread too, is no harm.
        """
        before = dict(self._entries)
        kept = Bindings(min_ttl_s=min_ttl_s, grace_s=grace_s, capacity=self._capacity)
        rewrite = kept._derive(before, grants, now)
        return Kept(kept.mark(), tuple(rewrite))

    def take(self, kept: Kept, now: float) -> Change:
        """Go on with what was `retained`; return what that changes in the kernel."""
        self.expire(now)
        before = self._entries
        self._set(kept.books)
        delete = tuple(_element(k, old) for k, old in before.items() if k not in self._entries)
        delete += self._make_room()
        return Change(self._elements(kept.rewrite), delete)

    def _derive(self, before: Mapping[Pair, Promises], grants: Grants, now: float) -> list[Pair]:
        """Hold what *grants* permit of *before*; return what the kernel is to be told."""
        matches: dict[str, Grant | None] = {}
        public: dict[Address, bool] = {}  # what is in the books is not reserved
        for (address, _), old in before.items():
            for host, promise in old.hosts.items():
                if host not in matches:
                    matches[host] = grants.match_text(host)
                grant = matches[host]
                if grant is None or promise.expires <= now:
                    continue
                if not grant.private and address not in public:
                    public[address] = learnable(address, private=False)
                if grant.private or public[address]:
                    for port in grant.ports:
                        key = address, port
                        entry = self._entries.setdefault(key, Promises())
                        entry.add(host, promise.expires, promise.origins, now)
                        self._shares.add(grant.pattern, key)
        rewrite = []
        for key, entry in self._entries.items():
            if key not in before or not entry.resume(before[key]):
                entry.write(now)
                rewrite.append(key)
            self._ends.put(key)
        return rewrite

    def mark(self) -> Mark:
        """Return what `restore` needs to undo a later `retain`."""
        return Mark(self._min_ttl_s, self._grace_s, self._entries, self._ends, self._shares)

    def restore(self, mark: Mark, now: float) -> Change:
        """Undo a `retain` since *mark*, and what was recorded after it.

        Returns: what that changes in the kernel.
        """
        tried = self.elements(now)
        self._set(mark)
        held, known = self.elements(now), set(tried)
        delete = (e for e in tried if (e.address, e.port) not in self._entries)
        return Change(tuple(e for e in held if e not in known), tuple(delete))

    def _set(self, mark: Mark) -> None:
        self._min_ttl_s, self._grace_s = mark.min_ttl_s, mark.grace_s
        self._entries, self._ends, self._shares = mark.entries, mark.ends, mark.shares

    def expire(self, now: float) -> None:
        """Forget the elements that the kernel has dropped by *now*."""
        while self._entries and self._entries[key := self._ends.first()].written <= now:
            self._shares.discard(key)
            self._forget(key)

    def elements(self, now: float) -> tuple[Element, ...]:
        """Return all that the kernel was told and still holds at *now*."""
        self.expire(now)
        return self._elements(self._entries)

    def latest(self, version: int, now: float) -> Iterator[Pair]:
        """Yield what the kernel holds at *now* of one address family, the last opened first."""
        self.expire(now)
        return (pair for pair in reversed(self._entries) if pair[0].version == version)

    def pairs(self, now: float) -> tuple[Pair, ...]:
        """Return the addresses and ports that `elements` has."""
        self.expire(now)
        return tuple(self._entries)

    def hosts(self, now: float) -> tuple[Binding, ...]:
        """Return which host holds what at *now*, sorted by host and address."""
        holders = Holders()
        self.gather(self.pairs(now), holders, now)
        return holders.bindings()

    def gather(self, pairs: Iterable[Pair], into: Holders, now: float) -> None:
        """Take down *into* who holds those of *pairs* that are still open."""
        for pair in pairs:
            if pair in self._entries:
                into.gather(pair, self._entries[pair], now)

    def _hold(self, key: Pair, host: str, expires: float, origin: Origin, now: float) -> bool:
        """Promise *key* to *host*; tell whether the kernel is to be told."""
        entry = self._entries.setdefault(key, Promises())
        entry.add(host, expires, frozenset({origin}), now)
        if entry.is_written(host):
            return False
        new = not entry.shown
        entry.write(now)
        if new:
            self._ends.put(key)
        return True

    def _make_room(self) -> tuple[Element, ...]:
        excess = max(0, len(self._entries) - self._capacity)
        self.gave_way += excess
        return tuple(self._forget(self._shares.give_way()) for _ in range(excess))

    def _forget(self, key: Pair) -> Element:
        self._ends.discard(key)
        return _element(key, self._entries.pop(key))

    def _elements(self, keys: Iterable[Pair]) -> tuple[Element, ...]:
        return tuple(_element(k, self._entries[k]) for k in keys if k in self._entries)


def _element(key: Pair, entry: Promises) -> Element:
    return Element(*key, entry.written, entry.shown)
