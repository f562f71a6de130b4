"""Promises: how long answers hold one (address, port) open, and for which hosts.

Pure: no I/O, no clock; every `now` is in monotonic seconds and never goes back.

What the kernel is told lies REWRITE_SLACK_S beyond the longest promise, so that
an address named a hundred times a second is not written a hundred times:
longest promise <= written <= longest promise ever made + REWRITE_SLACK_S.
"""

from __future__ import annotations

import enum
import heapq
from dataclasses import dataclass, field

# One write a second for a busy address; what is shown of a lifetime is exact to the second.
REWRITE_SLACK_S = 1.0

# Hosts named with an element. A set element's comment has room for 128 octets
# (NFTNL_UDATA_COMMENT_MAXLEN), so more would rarely fit.
MAX_SHOWN = 4

# Hosts remembered with an element. Anybody on the machine may ask for any
# number of names below a permitted wildcard, all of them at one address.
MAX_PROMISES = 256


class Origin(enum.Enum):
    """Where an answer came from."""

    ANSWER = "answer"  # seen on the wire, whoever asked
    RESOLVER = "resolver"  # our own lookup
    KERNEL = "kernel"  # seen by the kernel alone, which keeps no names
    EARLIER = "earlier"  # found in the sets, where an earlier process had put it


# Whose an address is that the kernel alone knows of. No name has such characters.
UNKNOWN_HOST = "(unknown host)"


@dataclass(slots=True)
class Promise:
    """One host's claim to an address: until when, and who learned it."""

    expires: float
    origins: frozenset[Origin]


@dataclass(slots=True)
class Promises:
    """The promises of one (address, port), and what the kernel was told of them.

    Attributes:
        hosts: who was promised what.
        written: when the kernel drops the element.
        shown: the longest-lived hosts at the time of writing, longest first.
    """

    hosts: dict[str, Promise] = field(default_factory=dict)
    written: float = 0.0
    shown: tuple[str, ...] = ()

    def add(self, host: str, expires: float, origins: frozenset[Origin], now: float) -> None:
        """Promise the address to *host*; an earlier promise never gets shorter.

        With MAX_PROMISES others the one that ends first is forgotten. The
        element stays for as long as that was promised all the same.
        """
        if known := self.hosts.get(host):
            known.expires = max(known.expires, expires)
            known.origins |= origins
            return
        self.hosts[host] = Promise(expires, origins)
        if len(self.hosts) > MAX_PROMISES:
            self._forget_past(now)
        if len(self.hosts) > MAX_PROMISES:
            del self.hosts[min(self.hosts, key=self._end)]

    def is_written(self, host: str) -> bool:
        """Tell whether the kernel's element is good for what *host* was promised.

        It is while it lasts long enough and names the host, or has no room for
        another name.
        """
        named = host in self.shown or len(self.shown) == MAX_SHOWN
        return named and (host not in self.hosts or self._end(host) <= self.written)

    def write(self, now: float) -> None:
        """Settle what the kernel is told; some promise must reach to *now*."""
        self._forget_past(now)
        self.written = max(map(self._end, self.hosts)) + REWRITE_SLACK_S
        self.shown = tuple(heapq.nlargest(MAX_SHOWN, self.hosts, key=self._end))

    def resume(self, old: Promises) -> bool:
        """Take over what the kernel was told of *old*, if that fits; tell whether it does."""
        same = old.hosts.keys() == self.hosts.keys()
        if same and max(map(self._end, self.hosts)) <= old.written:
            self.written, self.shown = old.written, old.shown
            return True
        return False

    def _forget_past(self, now: float) -> None:
        self.hosts = {h: promise for h, promise in self.hosts.items() if promise.expires >= now}

    def _end(self, host: str) -> float:
        return self.hosts[host].expires
