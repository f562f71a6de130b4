"""The first connection to an address passes at once, however new the address is."""

from __future__ import annotations

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.patience import PATIENCE
from tests.lab.wait import until

pytestmark = pytest.mark.root

# As many as take a second or so, whatever the machine.
COUNT = round(1000 / PATIENCE)
# Ahead of the table of enforcer.
UNMARKED = """
table inet lab_unmarked {
  chain output { type filter hook output priority filter - 20; meta mark set 0; }
  chain forward { type filter hook forward priority filter - 20; meta mark set 0; }
}
"""


FROM = ("host", "container")


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("client", FROM)
def test_never_seen_addresses_are_reached_at_once(
    shared_lab: Lab, client: str, family: int
) -> None:
    """1,000 connections right after their answers: none refused, none by a second SYN."""
    shared_lab.nameserver.given.clear()
    shared_lab.sink.reset()
    namespace = getattr(shared_lab.net, client)
    made = connect_to_answers(namespace, FRESH_ZONE, family=family, count=COUNT, label=client)
    assert (made.ok, made.refused, made.late, made.lost, made.unanswered) == (COUNT, 0, 0, 0, 0)
    given = shared_lab.nameserver.given
    assert shared_lab.sink.syns() == dict.fromkeys(((a, 443) for a in given), 1)


@pytest.mark.needs("reject")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("client", FROM)
def test_without_the_inline_path_first_connections_fail(
    lab: Lab, policy: str, client: str, family: int
) -> None:
    """Without the marks user space is too slow: the test above can fail."""
    with running(lab.net, policy):
        # Programs that are detached are put back: their work is undone instead.
        lab.net.host.nft(UNMARKED)
        namespace = getattr(lab.net, client)
        made = connect_to_answers(namespace, FRESH_ZONE, family=family, count=COUNT)
    assert made.unanswered == 0
    assert made.refused + made.late + made.lost > 0


def test_learned_addresses_are_listed(shared_lab: Lab, enforcer: Enforcer) -> None:
    """What the kernel learned shows in `enforcer hosts` under the name that was asked."""
    shared_lab.nameserver.given.clear()
    made = connect_to_answers(shared_lab.net.host, FRESH_ZONE, family=4, count=3, label="listed")
    assert made.ok == 3, enforcer.status()["learning"]
    given = shared_lab.nameserver.given

    def listed() -> bool:
        shown = [enforcer.cli("hosts", f"listed{n}.{FRESH_ZONE}").stdout for n in range(3)]
        return all(address in text for address, text in zip(given, shown, strict=True))

    until(listed, 10, f"{given} to be listed")
