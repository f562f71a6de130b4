"""Filters of other tools on the hooks that ours use: they work on, whatever becomes of us."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from enforcer.core.interfaces import Program
from enforcer.edge.filters import EGRESS, HOOKS, INGRESS, Filters
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.counting import PRIORITY, Counter, counter
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.test_network_changes import WHOLE, attached
from tests.lab.topology import UPLINK
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Three rounds of the daemon's own look-around.
REPAIRED_WITHIN_S = 15
SIDES = {INGRESS: "ingress", EGRESS: "egress"}


@pytest.fixture(params=list(HOOKS), ids=lambda program: str(program.value))
def ours(request: pytest.FixtureRequest) -> Program:
    """Return the program of ours whose hook and name somebody else uses."""
    program: Program = request.param
    return program


@pytest.fixture(params=["tool/{}", "enforcer/{}"])
def theirs(
    lab: Lab, ours: Program, request: pytest.FixtureRequest
) -> Iterator[tuple[Counter, Callable[[], None]]]:
    """Return a program called like *ours*, and what attaches it; its filter may be too."""
    parent, _ = HOOKS[ours]
    name = request.param.format(ours.value)
    with counter(ours.value) as loaded:
        yield loaded, lambda: loaded.attach(lab.net.host, UPLINK, parent, name)


def shown(host: Namespace) -> dict[str, list[str]]:
    """Return the filters on the uplink, by side."""
    return {
        side: host.run("tc", "filter", "show", "dev", UPLINK, side).stdout.splitlines()
        for side in SIDES.values()
    }


def both_work(lab: Lab, theirs: Counter, label: str) -> None:
    """Assert that first connections are made, and that *theirs* sees their packets."""
    before = theirs.packets
    made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=20, label=label)
    assert (made.ok, made.refused, made.late) == (20, 0, 0)
    # An answer and a SYN-ACK one way, a query and a SYN the other.
    assert theirs.packets - before >= 40


def take_ours(host: Namespace) -> None:
    """Remove our filters from the uplink and nobody else's."""

    def take() -> None:
        filters = Filters()
        try:
            filters.detach(filters.attached())
        finally:
            filters.close()

    host.call(take)


def off(enforcer: Enforcer) -> None:
    """Have the daemon told to stop."""
    enforcer.cli("off")
    enforcer.process.wait()


def kill_and_off(enforcer: Enforcer) -> None:
    """Have what a killed daemon left removed."""
    enforcer.kill()
    enforcer.cli("off")


ENDS: dict[str, Callable[[Enforcer], object]] = {
    "SIGTERM": Enforcer.stop,
    "off": off,
    "killed, then off": kill_and_off,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_filter_that_was_there_before_us_stays(
    lab: Lab,
    policy: str,
    theirs: tuple[Counter, Callable[[], None]],
    end: Callable[[Enforcer], object],
) -> None:
    """Through the start, the repair of ours, and the end; and so does its qdisc.

    One that had the name of ours was once taken for ours: replaced, and at the end removed.
    """
    host = lab.net.host
    counting, attach = theirs
    attach()
    before = shown(host)
    with running(lab.net, policy) as enforcer:
        both_work(lab, counting, "started")
        with_ours = shown(host)
        take_ours(host)
        until(lambda: shown(host) == with_ours, REPAIRED_WITHIN_S, "the repair")
        both_work(lab, counting, "repaired")
        end(enforcer)
    assert shown(host) == before
    assert attached(host) == {}
    seen = counting.packets
    made = connect_to_answers(host, FRESH_ZONE, family=4, count=20, label="ended")
    assert made.ok == 20
    assert counting.packets - seen >= 40


def test_a_filter_that_comes_after_us_stays(
    lab: Lab, policy: str, theirs: tuple[Counter, Callable[[], None]]
) -> None:
    """In a qdisc that we made; also where somebody makes the qdisc anew, ours gone with it."""
    host = lab.net.host
    counting, attach = theirs
    with running(lab.net, policy) as enforcer:
        attach()
        both_work(lab, counting, "attached")
        host.run("tc", "qdisc", "del", "dev", UPLINK, "clsact")
        attach()
        until(lambda: attached(host) == WHOLE, REPAIRED_WITHIN_S, "the repair")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")
        both_work(lab, counting, "anew")
    left = [line for side in shown(host).values() for line in side]
    assert len(left) == 2
    assert all(f"pref {PRIORITY} " in line for line in left)
