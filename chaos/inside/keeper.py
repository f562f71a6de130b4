"""The script that keeps connections open, and says whether they live.

Standard library only. A thread for each: it asks and connects as programs do, sends an octet
from time to time and waits for its echo. When it ends it is made anew.

A line for each echo that is to be judged, as chaos/inside/prober.py writes them; the last line
is JSON.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import math
import socket
import sys
import threading
import time
from collections import Counter

from chaos.inside.resolvers import Resolvers
from chaos.kinds import FAMILIES, KNOWN, LIVE_PORT, SWINGS, Kind
from tests.lab.client import query

_EVERY_S = 0.2
# Those to names, for less than their addresses are open: what ends is ended for the name's sake.
_KEPT_S = 20.0
_PATIENCE_S = 2.0
# A link may be down for two seconds, and TCP waits as long again before it tries once more.
_ECHO_WITHIN_S = 15.0
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_QTYPE = {4: 1, 6: 28}
_SIZE = {4: 4, 6: 16}


class Keeper:
    """Keeps one connection of each kind and family.

    Args:
        label: of the names asked for, so that nobody else asks for the same.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._resolvers = Resolvers()
        self._done = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Keep them until standard input ends."""
        threads = [
            threading.Thread(target=self._keep, args=(kind, family))
            for kind, family in itertools.product((KNOWN, *SWINGS), FAMILIES)
        ]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self._done.set()
        for thread in threads:
            thread.join()

    def _keep(self, kind: Kind, family: int) -> None:
        for number in itertools.count():
            if self._done.wait(_EVERY_S):
                return
            # What can't be opened is the probers' business.
            try:
                address = self._address(kind, family, number)
                where = (address, LIVE_PORT)
                with socket.create_connection(where, timeout=_PATIENCE_S) as sock:
                    self._live(sock, kind, family, address)
            except OSError:
                continue

    def _address(self, kind: Kind, family: int, number: int) -> str:
        if not kind.asks:
            return kind.address(family, 0)
        resolver = self._resolvers()[0]
        name = f"{self._label}{number}.{kind.zone}"
        with socket.socket(_FAMILY[6 if ":" in resolver else 4], socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.connect((resolver, 53))
            sock.send(query(number & 0xFFFF, name, _QTYPE[family]))
            return socket.inet_ntop(_FAMILY[family], sock.recv(512)[-_SIZE[family] :])

    def _live(self, sock: socket.socket, kind: Kind, family: int, address: str) -> None:
        sock.settimeout(_ECHO_WITHIN_S)
        outcome, lived = "echoed", time.monotonic()
        until = lived + _KEPT_S if kind.asks else math.inf
        while outcome == "echoed" and not self._done.wait(_EVERY_S):
            sent = time.monotonic()
            if sent > until:
                return
            try:
                sock.send(b"?")
                outcome = "echoed" if sock.recv(1) else "closed"
            except TimeoutError:
                outcome = "no echo"
            except OSError as exc:
                outcome = errno.errorcode.get(exc.errno or 0, str(exc))
            now = time.monotonic()
            # One that has ended may have done so at any time since it was of use.
            began = sent if outcome == "echoed" else lived
            self._tell(kind, family, f"{began:.6f} {now:.6f} {address}+", outcome)
            lived = now

    def _tell(self, kind: Kind, family: int, rest: str, outcome: str) -> None:
        with self._lock:
            self.counts[f"{kind.name} {family} {outcome}"] += 1
            if kind is not KNOWN or outcome != "echoed":
                sys.stdout.write(f"{kind.name} {family} {rest} {outcome}\n")


def main() -> None:
    """Keep connections open until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--label", required=True)
    options = parser.parse_args()
    keeper = Keeper(options.label)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    keeper.run()
    json.dump({"counts": keeper.counts}, sys.stdout)


if __name__ == "__main__":
    main()
