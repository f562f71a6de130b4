"""Ways round, by masses: of answers, names and denials, from the machine or a container."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.test_threats_daemon import is_closed, is_open, learns

pytestmark = pytest.mark.root

_NAMES = 2_000
_DENIALS = 3_000
_OTHER_ZONE = "other.lab.test"

# As many refused connections as the argument says, to ever other addresses.
_DENIED = """
import socket, sys
for number in range(int(sys.argv[1])):
    with socket.socket() as sock:
        try:
            sock.connect((f"198.19.{200 + number // 250}.{1 + number % 250}", 443))
        except ConnectionRefusedError:
            continue
        sys.exit("connected")
"""


@pytest.fixture
def flooded(lab: Lab, policy: str) -> Iterator[Lab]:
    """Return a lab with a daemon and a zone of names that nobody permitted."""
    lab.nameserver.fresh(_OTHER_ZONE)
    assert is_open(lab)
    with running(lab.net, policy):
        yield lab


@pytest.fixture(params=["host", "container"])
def origin(flooded: Lab, request: pytest.FixtureRequest) -> Namespace:
    """Return where the flood comes from."""
    found: Namespace = getattr(flooded.net, request.param)
    return found


@contextlib.contextmanager
def beside(flood: Callable[[], object]) -> Iterator[None]:
    """Run *flood* from before the block until after it."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            flood()
        except BaseException as exc:  # noqa: BLE001 - told below, by the test's own thread
            failed.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed, failed


def test_a_flood_of_answers(flooded: Lab, origin: Namespace) -> None:
    """Those of other names cost nothing that a permitted one needs."""

    def flood() -> None:
        made = connect_to_answers(origin, _OTHER_ZONE, family=4, count=_NAMES)
        assert made.refused == _NAMES

    with beside(flood):
        assert learns(flooded, "during")
    assert is_closed(flooded)


def test_a_flood_of_permitted_names(flooded: Lab, origin: Namespace) -> None:
    """A wildcard's names are anybody's to make up; each new one still works at once."""
    made = connect_to_answers(origin, FRESH_ZONE, family=4, count=_NAMES, label="flood")
    assert made.ok == _NAMES
    assert is_closed(flooded)


def test_a_flood_of_denials(flooded: Lab, origin: Namespace) -> None:
    """Refusing takes nothing from what is permitted."""
    denied = (sys.executable, "-c", _DENIED, str(_DENIALS))
    with beside(lambda: origin.run(*denied, timeout_s=100)):
        assert learns(flooded, "during")
    assert is_closed(flooded)
