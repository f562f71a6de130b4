"""Our nftables table in the kernel: the only one who speaks to nftables, by nft or netlink.

Whole rulesets go through nft as text, single elements through a socket: a
process takes milliseconds, the socket some thirty microseconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from enforcer.core.addresses import Address
from enforcer.core.chains import LAST_CHAIN
from enforcer.core.elements import TimedElement
from enforcer.core.judgement import Judgement
from enforcer.core.policy import Mode
from enforcer.core.ruleset import DENIED_COUNTER, FAMILY, PROBED_COUNTER, TABLE
from enforcer.core.sets import SET_SIZE
from enforcer.core.table import ABSENT, ListedElement, TableState, parse_listing
from enforcer.edge import nft  # noqa: TID251 - the program
from enforcer.edge.nflisting import Listing  # noqa: TID251 - likewise
from enforcer.edge.nfnetlink import BATCH_MAX, ElementSocket, Refused  # noqa: TID251 - its half
from enforcer.errors import DatapathError

_HINTS = {errno.ENOENT: "apply the ruleset first", errno.EPERM: "run as root"}

_Item = TypeVar("_Item")


class Firewall:
    """The table ``inet enforcer``, and nobody else's.

    It belongs to the network namespace it is made in, and to one thread at a time.

    Raises:
        DatapathError: the kernel gives no netlink socket.
    """

    def __init__(self) -> None:
        try:
            self._elements = ElementSocket()
            self._listing = Listing()
        except OSError as exc:
            raise DatapathError(f"netlink socket for nftables: {exc}") from exc
        # Digests of the parts of the table as we applied it.
        self.applied: Mapping[str, str] | None = None
        # What it is unless somebody else commits something.
        self._generation: int | None = None

    @property
    def port(self) -> int:
        """The netlink port that `program` and `delete` speak from."""
        return self._elements.port

    def close(self) -> None:
        """Close the netlink sockets; the table stays."""
        self._elements.close()
        self._listing.close()

    def apply(self, text: str) -> None:
        """Carry out *text*, a ruleset, in one transaction.

        Raises:
            DatapathError: nft or the kernel refused; nothing was changed.
        """
        self._carry_out(text)
        # Where the kernel does not say what is there now, all of it counts as edited.
        self.applied = {}
        with contextlib.suppress(DatapathError):
            self.applied = self._judgement().digests

    def remove(self) -> None:
        """Delete our table if there is one; `edited` tells of it like of anybody's deletion.

        Raises:
            DatapathError: nft or the kernel refused.
        """
        self._carry_out(f"table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n")

    def _carry_out(self, text: str) -> None:
        with _translating("look at our table"):
            before = self._listing.generation()
        nft.carry_out(text)
        self._generation = before + 1

    def denied(self) -> int | None:
        """Return how many packets nothing permitted; None where there is no counter of them.

        Raises:
            DatapathError: the kernel does not say.
        """
        return self._count(DENIED_COUNTER)

    def probed(self) -> int | None:
        """Return what `denied` does, of probes."""
        return self._count(PROBED_COUNTER)

    def _count(self, counter: str) -> int | None:
        with _translating("read a counter"):
            return self._listing.counter(counter)

    def present(self) -> bool:
        """Tell whether there is a table of ours: cheap, however many elements it holds.

        Raises:
            DatapathError: the kernel does not say.
        """
        with _translating("look at our table"):
            return self._listing.present()

    def enforces(self) -> bool:
        """Tell whether what our table does not permit is denied, and not only counted.

        Raises:
            DatapathError: the kernel does not say.
        """
        return LAST_CHAIN[Mode.ENFORCE] in self._judgement().chains

    def judges(self) -> bool:
        """Tell whether our table judges packets: cheap, however many elements it holds.

        Raises:
            DatapathError: the kernel does not say.
        """
        return self._judgement().judges

    def gone(self) -> bool:
        """Tell whether nothing is left of our table: as cheap.

        Raises:
            DatapathError: the kernel does not say.
        """
        return not self._judgement().chains

    def edited(self, recorded: Mapping[str, str] | None) -> tuple[str, ...]:
        """Return the parts of our table that somebody changed: as cheap.

        Args:
            recorded: what `applied` was in the process that applied the table; None where
                nobody knows, and nothing is told then.

        Raises:
            DatapathError: the kernel does not say.
        """
        before = recorded if self.applied is None else self.applied
        return () if before is None else self._judgement().changed(before)

    def _judgement(self) -> Judgement:
        # nft 1.0.6 reads all elements even for `list tables inet`: 1.3 s with full sets.
        with _translating("look at our table"):
            return self._listing.judgement()

    def touched(self) -> int | None:
        """Return the generation of nftables if somebody else made it, else None.

        Raises:
            DatapathError: the kernel does not say.
        """
        with _translating("look at nftables"):
            now = self._listing.generation()
        return None if now == self._generation else now

    def accept(self, generation: int) -> None:
        """Take *generation*, that `touched` returned, for ours: nothing in it concerns us."""
        self._generation = generation

    def open(self) -> frozenset[tuple[Address, int]]:
        """Return the addresses and ports of the allow sets; a second with full ones.

        Raises:
            DatapathError: the kernel does not say.
        """
        with _translating("list our sets"):
            return self._listing.open()

    def held(self) -> tuple[ListedElement, ...]:
        """Return what the allow sets hold, exactly; a second with full ones.

        Raises:
            DatapathError: the kernel does not say.
        """
        with _translating("list our sets"):
            return self._listing.held()

    def inspect(self) -> TableState:
        """Return what the kernel holds of our table now; seconds with full sets.

        Raises:
            DatapathError: nft could not list it.
        """
        return self._listed("list", "table", FAMILY, TABLE)

    def summary(self) -> TableState:
        """Return what `inspect` does, but without elements: at once.

        Raises:
            DatapathError: nft could not list it.
        """
        # Of `list table` nft 1.0.6 leaves elements out too late, having read them.
        try:
            return self._listed("-t", "list", "ruleset", FAMILY)
        except DatapathError:
            # It ends at names in others' tables that are not UTF-8.
            return self.inspect()

    def _listed(self, *arguments: str) -> TableState:
        text = nft.listed(*arguments)
        if text is None:
            return ABSENT
        try:
            return parse_listing(text)
        except ValueError as exc:
            raise DatapathError(f"nft listed our table in a way not understood: {exc}") from exc

    def program(self, elements: Iterable[TimedElement]) -> None:
        """Give *elements* exactly their lifetimes and comments, at once.

        Whatever was there for the same address and port is replaced, and no
        lookup misses meanwhile. Up to BATCH_MAX elements are one transaction,
        more are several; a bad one does not take the others with it.

        Raises:
            DatapathError: some were refused, all others are in place; or the
                table is not there.
        """
        items = tuple(elements)
        refused = _carried_out(items, self._counted(self._elements.replace))
        if refused:
            first, number = refused[0]
            hint = f"the sets hold {SET_SIZE} elements" if number == errno.ENFILE else None
            raise DatapathError(
                f"nftables refused {len(refused)} of {len(items)} elements, first "
                f"{first.address} port {first.port}: {os.strerror(number)}",
                hint,
            )

    def delete(self, keys: Iterable[tuple[Address, int]]) -> None:
        """Delete the elements of these addresses and ports, those that exist.

        Raises:
            DatapathError: some were refused, all others are gone.
        """
        items = tuple(keys)
        kept = _carried_out(items, self._counted(self._elements.delete))
        if kept:
            (address, port), number = kept[0]
            raise DatapathError(
                f"nftables kept {len(kept)} of {len(items)} elements, first "
                f"{address} port {port}: {os.strerror(number)}"
            )

    def _counted(
        self, transaction: Callable[[Sequence[_Item]], None]
    ) -> Callable[[Sequence[_Item]], None]:
        def committed(items: Sequence[_Item]) -> None:
            transaction(items)
            if self._generation is not None:
                self._generation += 1

        return committed


@contextlib.contextmanager
def _translating(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        hint = _HINTS.get(exc.errno or 0)
        raise DatapathError(f"can't {doing}: {exc.strerror or exc}", hint) from exc


def _carried_out(
    items: Sequence[_Item], transaction: Callable[[Sequence[_Item]], None]
) -> list[tuple[_Item, int]]:
    """Run *transaction* over all items; return those refused, with the error number.

    A transaction is all or nothing, so a refused one is halved until what is
    bad stands alone.

    Raises:
        DatapathError: the reason is not to be found in any item.
    """
    refused: list[tuple[_Item, int]] = []
    todo = [items[start : start + BATCH_MAX] for start in range(0, len(items), BATCH_MAX)]
    while todo:
        batch = todo.pop(0)
        try:
            transaction(batch)
        except Refused as exc:
            if not exc.by_item:
                hint = _HINTS.get(exc.errno)
                raise DatapathError(f"nftables elements: {os.strerror(exc.errno)}", hint) from exc
            if len(batch) == 1:
                refused.append((batch[0], exc.errno))
            else:
                middle = len(batch) // 2
                todo[:0] = (batch[:middle], batch[middle:])
        except OSError as exc:
            raise DatapathError(f"nftables elements: {exc}") from exc
    return refused
