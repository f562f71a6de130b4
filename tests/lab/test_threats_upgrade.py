"""Ways round, by an upgrade: while another version takes over, nothing opens and nothing breaks."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcer import __version__
from enforcer.edge.filters import Filters
from tests.lab.asking import ask_both
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import DENIED
from tests.lab.test_threats_daemon import is_closed, is_open, learns
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

ROUNDS_WITHIN_S = 30
CHECKOUT = Path(__file__).parents[2]
# Of the checkout, and where the package has it.
PARTS = {"enforcer": "enforcer", "bpf": "enforcer/bpf", "kernel-checks": "enforcer/kernel_checks"}
# What another version may have had: other maps, other records, another name.
CHANGES = {
    "enforcer/__init__.py": (f'"{re.escape(__version__)}"', '"0.0.9"'),
    "enforcer/abi.py": (r"(MAX_LEARNED\b.*= )\S+", r"\g<1>32_768"),
    "enforcer/bpf/abi.h": (r"(MAX_LEARNED = )\w+", r"\g<1>32768"),
}


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """Return a folder with the package as another version had it."""
    for part, where in PARTS.items():
        shutil.copytree(
            CHECKOUT / part, tmp_path / where, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name, (pattern, replacement) in CHANGES.items():
        path = tmp_path / name
        text, count = re.subn(pattern, replacement, path.read_text(), count=1)
        assert count == 1, name
        path.write_text(text)
    return tmp_path


class Prober:
    """Connects again and again, on a thread: to what is denied, and to ever new permitted names."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self.rounds = 0
        self.outcomes: set[str] = set()
        self.permitted: set[tuple[int, int]] = set()  # made and refused, of five

    @contextlib.contextmanager
    def probing(self) -> Iterator[None]:
        """Probe from a whole round before the block to a whole round after it."""
        self._thread.start()
        try:
            self._another_round()
            yield
            self._another_round()
        finally:
            self._done.set()
            self._thread.join()

    def _another_round(self) -> None:
        # The one that is under way began before.
        before = self.rounds
        until(lambda: self.rounds > before + 1, ROUNDS_WITHIN_S, "a round of probes")

    def _probe(self) -> None:
        net = self._lab.net
        while not self._done.is_set():
            for namespace in (net.host, net.container):
                made = connect_to_answers(
                    namespace, FRESH_ZONE, family=4, count=5, label=f"p{self.rounds}"
                )
                self.permitted.add((made.ok, made.refused))
                self.outcomes |= {attempt(namespace, each).outcome for each in DENIED.addresses}
            self.rounds += 1


def filters_at(host: Namespace) -> dict[int, int]:
    """Return how many filters of ours there are, by index of their interface."""

    def call() -> dict[int, int]:
        filters = Filters()
        try:
            return {index: len(there) for index, there in filters.attached().items()}
        finally:
            filters.close()

    return host.call(call)


@pytest.mark.needs("reject")
def test_what_was_learned_before_holds_until_the_successor_enforces(
    lab: Lab, versions: tuple[Enforcer, Enforcer]
) -> None:
    """Programs of both run side by side as long as the successor waits for its own lookups.

    Each was once replaced by itself: an answer that only the old ones had seen, or whose query
    they alone remembered, opened nothing.
    """
    before, after = versions
    net = lab.net
    silent = f"silent.{FRESH_ZONE}"
    lab.nameserver.silence(silent)
    before.start()
    alone = filters_at(net.host)
    before.kill()
    learned = [
        address
        for number in range(5)
        for address in ask_both(net.host, RESOLVERS[0], f"before{number}.{FRESH_ZONE}")
    ]
    after.policy_file.write_text(f"{POLICY}  - {silent}\n")
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(after.start)
        both = {index: 2 * count for index, count in alone.items()}
        until(lambda: filters_at(net.host) == both, ROUNDS_WITHIN_S, "programs of both")
        for namespace, seen in ((net.host, learned[::2]), (net.container, learned[1::2])):
            assert [attempt(namespace, each).outcome for each in seen] == ["connected"] * 5
            made = connect_to_answers(namespace, FRESH_ZONE, family=4, count=20, label="both")
            assert (made.ok, made.refused) == (20, 0)
        assert is_closed(lab)
        assert not starting.done()
        starting.result()
    assert filters_at(net.host) == alone
    assert is_closed(lab)
    assert learns(lab, "after")


@pytest.fixture
def versions(lab: Lab, policy: str, other_version: Path) -> Iterator[tuple[Enforcer, Enforcer]]:
    """Return daemons of both versions for the same machine; none runs."""
    other = Enforcer(lab.net, policy, code=other_version)
    current = Enforcer(lab.net, policy)
    try:
        yield other, current
    finally:
        for each in (other, current):
            if each.started:
                each.kill()
        current.cli("off", check=False)


@pytest.mark.parametrize("backwards", [False, True], ids=["upgrade", "downgrade"])
def test_another_version_takes_over(
    lab: Lab, versions: tuple[Enforcer, Enforcer], *, backwards: bool
) -> None:
    """From one that was killed, with other maps in the kernel: not one packet more gets out."""
    before, after = reversed(versions) if backwards else versions
    assert is_open(lab)
    nothing = footprint(lab.net)
    before.start()
    version = before.status()["daemon"]["version"]
    assert is_closed(lab)
    prober = Prober(lab)
    with prober.probing():
        before.kill()
        after.start()
    assert {version, after.status()["daemon"]["version"]} == {"0.0.9", __version__}
    assert prober.outcomes == {"ECONNREFUSED"}
    assert prober.permitted == {(5, 0)}
    assert is_closed(lab)
    assert learns(lab, "after")
    assert after.status()["healthy"]
    assert after.stop() == 0
    assert footprint(lab.net) == nothing
