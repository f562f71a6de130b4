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
from tests.lab.tier import refusals
from tests.lab.wait import until

pytestmark = pytest.mark.root

_NAMES = 2_000
_DENIALS = 3_000
NOBODY = 65534
GATEWAY = "172.30.0.1"  # the machine, as the container sees it
_OTHER_ZONE = "other.lab.test"

# As many refused connections as the argument says, to ever other addresses.
_DENIED = """
import errno, socket, sys
for number in range(int(sys.argv[1])):
    with socket.socket() as sock:
        try:
            sock.connect((f"198.19.{200 + number // 250}.{1 + number % 250}", 443))
        except OSError as exc:
            if errno.errorcode[exc.errno] in sys.argv[2:]:
                continue
            raise
        sys.exit("connected")
"""

# A connection to each port of the address that the argument is.
_EACH_PORT = """
import contextlib, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for port in range(1, 65536):
        with contextlib.suppress(OSError):
            sock.sendto(b"", (sys.argv[1], port))
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


# Without reject each connection of a container takes as long as it waits for an answer.
answered_at_once = pytest.mark.parametrize(
    "origin", ["host", pytest.param("container", marks=pytest.mark.needs("reject"))], indirect=True
)


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


@answered_at_once
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


@pytest.mark.needs("ct")
def test_a_flood_of_connections(flooded: Lab, origin: Namespace) -> None:
    """The table of connections is full: what is in it gives way, and nothing gets out."""
    host = flooded.net.host
    address = "127.0.0.1" if origin is host else GATEWAY

    def is_full() -> bool:
        origin.run(sys.executable, "-c", _EACH_PORT, address, user=NOBODY)
        stat = host.run("cat", "/proc/net/stat/nf_conntrack").stdout
        names, *cpus = map(str.split, stat.splitlines())
        return any(int(cpu[names.index("early_drop")], 16) for cpu in cpus)

    until(is_full, 60, "the table to be full")
    assert learns(flooded, "during")
    assert is_closed(flooded)


@answered_at_once
def test_a_flood_of_denials(flooded: Lab, origin: Namespace) -> None:
    """Refusing takes nothing from what is permitted."""
    denied = (sys.executable, "-c", _DENIED, str(_DENIALS), *refusals())
    with beside(lambda: origin.run(*denied, timeout_s=100)):
        assert learns(flooded, "during")
    assert is_closed(flooded)
