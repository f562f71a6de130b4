"""Take what answers say into the books, under the grants in force."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator

import dns.name

from enforcer.abi import MAX_LEARNED
from enforcer.core import answers
from enforcer.core.answers import Answer
from enforcer.core.grants import Grants
from enforcer.core.promises import Origin
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.names import Names
from enforcer.daemon.writer import Writer
from enforcer.errors import MalformedAnswer
from enforcer.log import LOGGER


class Intake:
    """The way of an answer: from the programs or a lookup into the books, and on to the sets.

    Args:
        datapath: whose programs pass answers on, and which knows the machine's own addresses.
        books: where they go.
        writer: told what of the sets changes.
        names: told of each that the programs passed on.
        grants: returns those in force.
        truncated: told the name of an answer that has to be asked for again.
    """

    def __init__(
        self,
        datapath: Datapath,
        books: Books,
        writer: Writer,
        names: Names,
        grants: Callable[[], Grants],
        truncated: Callable[[dns.name.Name], None],
    ) -> None:
        self._datapath = datapath
        self._books = books
        self._writer = writer
        self._names = names
        self._grants = grants
        self._truncated = truncated
        # Answers that came while another policy was being put in force.
        self._kept: deque[tuple[Answer, Origin]] | None = None
        # The books are being compared with it: nothing is to be put into them.
        self._closed = False

    def take(self, limit: int | None = None) -> int:
        """Take the answers that the kernel passed on, about *limit* at most; return how many."""
        if self._closed and self._kept is not None and len(self._kept) >= MAX_LEARNED:
            return 0  # what the rings have no room for either is told as lost, and made up for
        events = self._datapath.programs.drain(limit)
        for event in events:
            try:
                answer = answers.parse(event.wire, cut=event.cut)
            except MalformedAnswer as exc:
                LOGGER.debug("%s", exc)
                continue
            if answer.truncated:
                self._truncated(answer.qname)
            else:
                self._names.saw(answer)
                self.observe(answer, Origin.ANSWER)
        return len(events)

    def observe(self, answer: Answer, origin: Origin) -> None:
        """Open what *answer* permits."""
        if self._kept is not None:
            self._kept.append((answer, origin))
            if self._closed:
                return
        own = self._datapath.own
        self._writer.put(self._books.observe(answer, origin, self._grants(), own))

    def keep(self) -> None:
        """Keep what comes from now on, too: other grants may judge it, see `observe_kept`."""
        self._kept = deque(maxlen=MAX_LEARNED)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Leave the books alone in the block; what comes is only kept."""
        self._closed = True
        try:
            yield
        finally:
            self._closed = False

    def observe_kept(self) -> None:
        """Observe under the grants in force what was kept, and keep no more."""
        kept, self._kept = self._kept or (), None
        for answer, origin in kept:
            self.observe(answer, origin)

    def drop_kept(self) -> None:
        """Keep no more; what was kept was observed under the grants in force."""
        self._kept = None
