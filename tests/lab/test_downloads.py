"""Connections that the other end keeps busy: what it sends last is no way to go on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tests.lab.daemon import running
from tests.lab.guarded import Ends
from tests.lab.test_older_connections import POLICY, both_families, open_all, outgoing
from tests.lab.topology import Topology
from tests.lab.wait import until

pytestmark = [pytest.mark.root, pytest.mark.needs("ct")]

BOTH = f"{POLICY}  - host: registry.denied.test\n    ports: [9445, 9446]\n"
SOME = 1 << 20
CHUNK = 1 << 16
WITHIN_S = 20


class Download:
    """What a server sends without a pause, and its client reads, on threads of their own.

    Attributes:
        received: octets, so far.
        ended: why the client reads no more; None while it does.
    """

    def __init__(self, ends: Ends) -> None:
        self.received = 0
        self.ended: str | None = None
        self._client, self._server = ends
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let both ends come to theirs."""
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._enough.is_set():
                self._server.sendall(bytes(CHUNK))

    def _receive(self) -> None:
        try:
            while not self._enough.is_set() and (received := self._client.recv(CHUNK)):
                self.received += len(received)
        except OSError as exc:
            self.ended = type(exc).__name__


@contextlib.contextmanager
def downloads(net: Topology, version: int) -> Iterator[dict[str, Download]]:
    """Yield one of each kind, under way."""
    with contextlib.ExitStack() as stack:
        ends = stack.enter_context(open_all(outgoing(net, version)))
        under_way = {kind: Download(each) for kind, each in ends.items()}
        for each in under_way.values():
            stack.callback(each.close)
        go_on(under_way)
        yield under_way


def go_on(under_way: dict[str, Download]) -> None:
    """Wait until all *under_way* have received some more."""
    wanted = {kind: each.received + SOME for kind, each in under_way.items()}
    until(
        lambda: all(each.received > wanted[kind] for kind, each in under_way.items()),
        WITHIN_S,
        "the downloads",
    )


def only_permitted_go_on(under_way: dict[str, Download]) -> None:
    """Wait until those that are not permitted have ended, and see that the others have not."""
    denied = [each for kind, each in under_way.items() if "denied" in kind]
    until(lambda: all(each.ended for each in denied), WITHIN_S, "the ends")
    go_on({kind: each for kind, each in under_way.items() if "permitted" in kind})


@both_families
@pytest.mark.parametrize("tier", [None, "unlabelled"])
def test_a_reload_ends_downloads_from_hosts_that_the_policy_loses(
    world: Topology, version: int, tier: str | None
) -> None:
    """Whatever was on its way while they were forgotten.

    The next segment of the host made an entry of its own, a connection from outside, whose
    replies may leave: the download went on.
    """
    with running(world, BOTH, tier=tier) as enforcer, downloads(world, version) as under_way:
        enforcer.put_in_force(POLICY)
        only_permitted_go_on(under_way)


@both_families
def test_what_is_not_permitted_is_not_downloaded_to_its_end(world: Topology, version: int) -> None:
    """When enforcement begins, likewise."""
    with downloads(world, version) as under_way, running(world, POLICY):
        only_permitted_go_on(under_way)
