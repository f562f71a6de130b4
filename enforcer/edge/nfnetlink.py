"""Elements of our sets over one netlink socket: the firewall's fast half.

Standard library only. pyroute2 0.9.7 makes a transaction of its own of every
set_elems(), spends 110 us on an element, and waits for ever for the answer to a
transaction that is refused as a whole: that answer (EPERM, ENOMEM) carries the
sequence number of the batch's begin.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence
from errno import ENOENT

from enforcer.core.addresses import Address
from enforcer.core.elements import TimedElement
from enforcer.core.sets import SETS
from enforcer.edge.netlink import opened  # noqa: TID251 - how sockets are made
from enforcer.edge.nfmessages import (  # noqa: TID251 - what it sends
    Message,
    Part,
    bare,
    errors,
    full,
    transaction,
)

# A message is one netlink attribute deep inside, of at most 65,535 bytes, and an
# IPv6 element with the longest comment takes 180. Three messages of this many
# elements also fit the default send buffer of 212,992 bytes.
BATCH_MAX = 256


class Refused(Exception):
    """The kernel refused a transaction; nothing of it took effect.

    Attributes:
        errno: why.
        by_item: an element may be the reason; otherwise it is the batch as such
            or a set that does not exist.
    """

    def __init__(self, errno: int, *, by_item: bool) -> None:
        super().__init__(errno)
        self.errno = errno
        self.by_item = by_item


class ElementSocket:
    """Changes elements, a transaction a call.

    It speaks to the network namespace in which it was made, from any thread,
    but one call at a time.
    """

    def __init__(self) -> None:
        self._socket = opened()
        self._socket.settimeout(None)  # all answers are there: see _answers()
        # As the kernel numbers it.
        self.port = int(self._socket.getsockname()[0])
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def replace(self, elements: Sequence[TimedElement]) -> None:
        """Make *elements*, at most BATCH_MAX, exactly as given, whatever was there.

        A lookup sees the old element or the new one, never neither.

        Raises:
            Refused: nothing was changed.
        """
        # Adding alone never changes the comment of an element that exists, such
        # as one the packet path added. Before Linux kernel commit 4201f3938914
        # ("netfilter: nf_tables: set element timeout update support") (in
        # v6.12) it does not change the timeout either. Deleting first fails for
        # one that does not exist, so: add, delete, add.
        parts: list[Part] = []
        for version, names in SETS.items():
            own = [element for element in elements if element.address.version == version]
            if own:
                exact = b"".join(map(full, own))
                keys = b"".join(bare(each.address, each.port) for each in own)
                parts += (
                    (Message.NEWSETELEM, names.allow, exact),
                    (Message.DELSETELEM, names.allow, keys),
                    (Message.NEWSETELEM, names.allow, exact),
                )
        self._commit(parts)

    def delete(self, keys: Sequence[tuple[Address, int]]) -> None:
        """Delete the elements of these addresses and ports, at most BATCH_MAX, if they exist.

        Raises:
            Refused: nothing was changed.
        """
        # One that does not exist would fail the others too, and each transaction
        # that fails costs the kernel a grace period of RCU: with a thousand of them
        # expired, a minute. So: add, delete; no lookup sees what was added.
        parts: list[Part] = []
        for version, names in SETS.items():
            own = b"".join(bare(*key) for key in keys if key[0].version == version)
            if own:
                parts += (
                    (Message.NEWSETELEM, names.allow, own),
                    (Message.DELSETELEM, names.allow, own),
                )
        try:
            self._commit(parts)
        except Refused as exc:
            if exc.by_item or exc.errno != ENOENT:
                raise  # else there is no table either

    def _commit(self, parts: Sequence[Part]) -> None:
        if not parts:
            return
        begin, *numbers, end = (next(self._sequence) & 0xFFFFFFFF for _ in range(len(parts) + 2))
        self._socket.send(transaction(begin, numbers, end, parts))
        answers = self._answers()
        # What is refused as a whole is answered in the name of its beginning.
        if errno := answers.get(begin):
            raise Refused(errno, by_item=False)
        for number, (kind, _, _) in zip(numbers, parts, strict=True):
            if number not in answers:
                raise OSError("the kernel did not answer")
            if errno := answers[number]:
                no_set = kind is Message.NEWSETELEM and errno == ENOENT
                raise Refused(errno, by_item=not no_set)

    def _answers(self) -> dict[int, int]:
        """Return the error number, 0 for none, of each message that was answered.

        The kernel carries out a batch within send(): all answers are there.
        """
        answers: dict[int, int] = {}
        while True:
            try:
                data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return answers
            answers.update(errors(data))
