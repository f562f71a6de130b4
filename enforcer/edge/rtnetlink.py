"""A socket for rtnetlink, on which links.py and filters.py list and change."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

from enforcer.errors import DatapathError

# What changes while it is listed is listed again: storms of changes have pauses.
_ATTEMPTS = 10


class Rtnetlink:
    """A socket of the network namespace it was made in, for the thread it was made on.

    pyroute2 0.9.7 runs an event loop of its own inside each call: not for a thread
    that has one running.

    Attributes:
        ipr: what pyroute2 offers.
    """

    def __init__(self) -> None:
        with translated("open rtnetlink"):
            self.ipr: Any = IPRoute()

    def close(self) -> None:
        """Close the socket."""
        self.ipr.close()

    def listed(self, what: str, listing: Callable[[], Iterable[Any]]) -> tuple[Any, ...]:
        """Return all that *listing* yields, from one moment; *what* is for the error.

        Raises:
            DatapathError: the kernel refuses, or it changes all the time.
        """
        with translated(f"list {what}"):
            for _ in range(_ATTEMPTS - 1):
                with contextlib.suppress(NetlinkDumpInterrupted):
                    return tuple(listing())
            return tuple(listing())


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the kernel refuses into DatapathError."""
    try:
        yield
    except NetlinkError as exc:
        hint = "run as root" if exc.code in (errno.EPERM, errno.EACCES) else None
        raise DatapathError(f"can't {doing}: {exc.args[1]}", hint=hint) from exc
    except OSError as exc:
        raise DatapathError(f"can't {doing}: {exc.strerror or exc}") from exc
