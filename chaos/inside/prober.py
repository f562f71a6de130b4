"""The script that opens connections at a rate, of all kinds, and says what came of each.

Standard library only. Asks the resolvers that /etc/resolv.conf names at that moment, and
connects as soon as the answer is read. The rate is kept whatever becomes of the connections.

A line for each connection that needs to be judged, in order of their ends: kind, family,
seconds (monotonic) of its beginning and its end, address, outcome. Those that went as they
should are counted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import resource
import select
import socket
import struct
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.inside.resolvers import Resolvers
from chaos.kinds import (
    BARE,
    DENIED,
    FAMILIES,
    FRESH,
    KINDS,
    KNOWN,
    KNOWN_HOSTS,
    OTHER,
    PORT,
    SWINGS,
    Kind,
)
from tests.lab.client import query

# Half is permitted, of that half is never seen before; likewise of what is not.
_SHARES = {KNOWN: 24, FRESH: 24, BARE: 24, OTHER: 24, **dict.fromkeys(SWINGS, 2)}
_AGAIN = 0.5  # of a swinging kind, so many go to an address that it had before
_PATIENCE_S = 3.0  # for the answer, and for the connection
_BEHIND_S = 1.0  # what could not be begun by then is not begun any more
_OPEN_MAX = 4000
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_QTYPE = {4: 1, 6: 28}
_SIZE = {4: 4, 6: 16}
_RESET = struct.pack("=ii", 1, 0)  # struct linger: nothing of it stays behind
# linux/tcp.h: tcpi_total_retrans of struct tcp_info.
_TOTAL_RETRANS, _TCP_INFO_SIZE = 100, 104
_GOOD = {**dict.fromkeys((KNOWN, FRESH), "connected"), **dict.fromkeys(DENIED, "ECONNREFUSED")}


@dataclass
class Attempt:
    """A connection under way: a query without an answer yet, or a connect() likewise."""

    kind: Kind
    family: int
    sock: socket.socket
    began: float
    expires: float
    address: str = "-"


class Prober:
    """Begins, ends and counts connections.

    Args:
        label: of the names asked for, so that nobody else asks for the same.
        seed: of what is probed in which order.
        shares: how often each kind comes, as weights.
        families: of addresses.
    """

    def __init__(
        self, label: str, seed: str, shares: Mapping[Kind, int], families: Sequence[int]
    ) -> None:
        self._families = families
        self._label = label
        self._kinds, self._weights = tuple(shares), tuple(shares.values())
        self._random = random.Random(seed)  # noqa: S311 - a plan to repeat, no secret
        self._resolvers = Resolvers()
        self._epoll = select.epoll()
        self._attempts: OrderedDict[int, Attempt] = OrderedDict()
        self._serial = 0
        self._remembered: dict[tuple[Kind, int], list[str]] = {}
        self.begun = 0
        self.skipped = 0
        self.counts: Counter[str] = Counter()

    def run(self, rate: float, done: int) -> None:
        """Begin *rate* connections a second until the descriptor *done* is readable."""
        clock = time.monotonic
        self._epoll.register(done, select.EPOLLIN)
        due = clock()
        stopping = 0.0
        while not stopping or self._attempts:
            now = clock()
            if stopping:
                due = now + 1
            elif now - due > _BEHIND_S:
                self.skipped += int((now - due) * rate)
                due = now
            while due <= now and len(self._attempts) < _OPEN_MAX:
                self._begin(now)
                due += 1 / rate
                now = clock()
            for descriptor, _ in self._epoll.poll(max(0.0005, min(due - now, 0.05))):
                if descriptor == done:
                    self._epoll.unregister(done)
                    stopping = clock()
                elif attempt := self._attempts.get(descriptor):
                    self._go_on(attempt)
            self._expire(clock())

    def _begin(self, now: float) -> None:
        (kind,) = self._random.choices(self._kinds, self._weights)
        family = self._random.choice(self._families)
        number = self._random.getrandbits(32)
        self.begun += 1
        remembered = self._remembered.get((kind, family))
        if kind in SWINGS and remembered and self._random.random() < _AGAIN:
            self._connect(kind, family, remembered[number % len(remembered)], now, again=True)
        elif kind.asks:
            self._ask(kind, family, number, now)
        else:
            number %= KNOWN_HOSTS if kind is KNOWN else 1 << 32
            self._connect(kind, family, kind.address(family, number), now)

    def _ask(self, kind: Kind, family: int, number: int, now: float) -> None:
        resolvers = self._resolvers()
        resolver = resolvers[number % len(resolvers)]
        self._serial += 1
        name = f"{self._label}{self._serial}.{kind.zone}"
        sock = socket.socket(_FAMILY[6 if ":" in resolver else 4], socket.SOCK_DGRAM)
        sock.settimeout(0)
        attempt = Attempt(kind, family, sock, now, now + _PATIENCE_S)
        try:
            sock.connect((resolver, 53))
            sock.send(query(number & 0xFFFF, name, _QTYPE[family]))
        except OSError as exc:
            self._end(attempt, f"query {_word(exc.errno)}")
        else:
            self._wait(attempt, select.EPOLLIN)

    def _connect(
        self, kind: Kind, family: int, address: str, began: float, *, again: bool = False
    ) -> None:
        sock = socket.socket(_FAMILY[family], socket.SOCK_STREAM)
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        expires = time.monotonic() + _PATIENCE_S
        attempt = Attempt(kind, family, sock, began, expires, address + "*" * again)
        result = sock.connect_ex((address, PORT))
        if result == errno.EINPROGRESS:
            self._wait(attempt, select.EPOLLOUT)
        else:
            self._end(attempt, _word(result))

    def _wait(self, attempt: Attempt, event: int) -> None:
        descriptor = attempt.sock.fileno()
        self._attempts[descriptor] = attempt
        self._epoll.register(descriptor, event)

    def _go_on(self, attempt: Attempt) -> None:
        sock, family = attempt.sock, attempt.family
        if sock.type == socket.SOCK_DGRAM:
            try:
                answer = sock.recv(512)
            except BlockingIOError:
                return
            except OSError as exc:
                self._end(attempt, f"query {_word(exc.errno)}")
                return
            if answer[6:8] != b"\0\1":
                self._end(attempt, "query without an address")
                return
            address = socket.inet_ntop(_FAMILY[family], answer[-_SIZE[family] :])
            self._connect(attempt.kind, family, address, attempt.began)
            self._forget(attempt)
        else:
            self._end(attempt, _word(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def _expire(self, now: float) -> None:
        while self._attempts:
            attempt = next(iter(self._attempts.values()))
            if attempt.expires > now:
                return
            asking = attempt.sock.type == socket.SOCK_DGRAM
            self._end(attempt, "query unanswered" if asking else "ETIMEDOUT")

    def _end(self, attempt: Attempt, outcome: str) -> None:
        kind, family, sock = attempt.kind, attempt.family, attempt.sock
        if outcome == "connected":
            if kind in SWINGS and not attempt.address.endswith("*"):
                remembered = self._remembered.setdefault((kind, family), [])
                remembered.append(attempt.address)
                del remembered[:-16]
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
            if len(info) == _TCP_INFO_SIZE and any(info[_TOTAL_RETRANS:]):
                outcome = "connected late"
        self.counts[f"{kind.name} {family} {outcome}"] += 1
        if outcome != _GOOD.get(kind):
            times = f"{attempt.began:.6f} {time.monotonic():.6f}"
            sys.stdout.write(f"{kind.name} {family} {times} {attempt.address} {outcome}\n")
        self._forget(attempt)

    def _forget(self, attempt: Attempt) -> None:
        # A closed descriptor is no longer polled.
        if self._attempts.get(attempt.sock.fileno()) is attempt:
            del self._attempts[attempt.sock.fileno()]
        attempt.sock.close()


def _word(number: int | None) -> str:
    return errno.errorcode.get(number or 0, str(number)) if number else "connected"


def main() -> None:
    """Probe until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True, help="connections a second")
    parser.add_argument("--label", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--only", choices=tuple(KINDS), help="a kind; all of them if not given")
    parser.add_argument("--family", type=int, choices=FAMILIES, help="both if not given")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 1 << 16), most))
    shares = {KINDS[options.only]: 1} if options.only else _SHARES
    families = (options.family,) if options.family else FAMILIES
    prober = Prober(options.label, options.seed, shares, families)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    began = time.monotonic()
    prober.run(options.rate, sys.stdin.fileno())
    totals = {
        "elapsed_s": time.monotonic() - began,
        "begun": prober.begun,
        "skipped": prober.skipped,
        "cpu_s": sum(os.times()[:2]),
        "counts": prober.counts,
    }
    json.dump(totals, sys.stdout)


if __name__ == "__main__":
    main()
