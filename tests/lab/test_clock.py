"""The wall clock is set, or the machine sleeps: that opens and closes nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from tests.lab.asking import ask_both, await_held, held, is_open
from tests.lab.clock import Clocks
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connect
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.test_world import enforces
from tests.lab.tier import refusal
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

YEAR_S = 365 * 86_400
NIGHT_S = 8 * 3600
EVENING = "198.18.66.66"  # nobody asks for it in the morning
LIFETIME_S = 600  # a TTL of 300 s and a grace of as many
RECORDED_WITHIN_S = 10
# More than a test takes.
LATELY_S = 300


@pytest.fixture
def clock(lab: Lab) -> Clocks:
    """Return the daemon's clocks."""
    return Clocks(lab.net.directory)


@pytest.fixture
def enforcer(lab: Lab, policy: str, clock: Clocks) -> Iterator[Enforcer]:
    """Return a daemon with clocks of its own."""
    with running(lab.net, policy, prefix=clock.prefix) as started:
        yield started


def lately(enforcer: Enforcer, ahead_s: float) -> dict[str, float]:
    """Return what was denied in the last minutes of a clock that is *ahead_s* ahead of ours.

    By address, and how long ago.
    """
    now = datetime.now(timezone.utc) + timedelta(seconds=ahead_s)
    since = (now - timedelta(seconds=LATELY_S)).isoformat()
    found = map(json.loads, enforcer.cli("denials", "--since", since, "--json").stdout.splitlines())
    return {e["address"]: (now - datetime.fromisoformat(e["last"])).total_seconds() for e in found}


@pytest.mark.parametrize("ahead_s", [YEAR_S, -YEAR_S], ids=["ahead", "back"])
def test_a_wall_clock_that_is_set_changes_no_lifetime(
    lab: Lab, enforcer: Enforcer, clock: Clocks, ahead_s: int
) -> None:
    """Of addresses, and of connections to come; also in a daemon that starts after that."""
    name = f"before.{FRESH_ZONE}"
    addresses = ask_both(lab.net.host, RESOLVERS[0], name)
    await_held(enforcer, name, *addresses)
    clock.set_ahead(ahead_s)
    for number in range(2):
        assert all(is_open(lab.net.host, each) for each in addresses)
        left = [each["expires_s"] for each in held(enforcer, name).values()]
        assert len(left) == len(addresses)
        assert all(LIFETIME_S - LATELY_S < each <= LIFETIME_S for each in left)
        assert enforces(lab, f"set{number}")
        assert enforcer.status()["healthy"]
        if number == 0:
            enforcer.kill()
            enforcer.start()


@pytest.mark.needs("log")
@pytest.mark.parametrize("ahead_s", [YEAR_S, -YEAR_S], ids=["ahead", "back"])
def test_what_was_denied_before_the_clock_was_set_was_denied_lately(
    lab: Lab, enforcer: Enforcer, clock: Clocks, ahead_s: int
) -> None:
    """A clock that begins in 1970, and is set, took the denials before that out of sight.

    One that was put back showed them as of the last ten minutes for a year.
    """
    before, after = DENIED.addresses
    assert refusal(connect(lab.net.host, before)) == "ECONNREFUSED"
    until(lambda: lately(enforcer, 0), RECORDED_WITHIN_S, "a record")
    clock.set_ahead(ahead_s)
    assert refusal(connect(lab.net.host, after)) == "ECONNREFUSED"
    until(lambda: after in lately(enforcer, ahead_s), RECORDED_WITHIN_S, "another record")
    ages = lately(enforcer, ahead_s)
    assert ages.keys() == {before, after}
    # They were asked for a moment after it was looked what time it is.
    assert all(-RECORDED_WITHIN_S < age < LATELY_S for age in ages.values())
    hosts = enforcer.status()["denied"]["hosts"]
    assert {each["address"] for each in hosts} == {before, after}
    assert all(each["age_s"] < LATELY_S for each in hosts)


@pytest.mark.needs("log")
def test_a_machine_that_slept_goes_on_where_it_was(
    lab: Lab, enforcer: Enforcer, clock: Clocks
) -> None:
    """Lifetimes stood still with it, and what was denied in the evening was in the evening."""
    name = f"evening.{FRESH_ZONE}"
    addresses = ask_both(lab.net.host, RESOLVERS[0], name)
    await_held(enforcer, name, *addresses)
    assert refusal(connect(lab.net.host, EVENING)) == "ECONNREFUSED"
    until(lambda: lately(enforcer, 0), RECORDED_WITHIN_S, "a record")
    enforcer.process.send_signal(signal.SIGSTOP)
    clock.sleep(NIGHT_S)
    enforcer.process.send_signal(signal.SIGCONT)
    assert enforces(lab, "morning")
    assert all(is_open(lab.net.host, each) for each in addresses)
    assert all(each["expires_s"] <= LIFETIME_S for each in held(enforcer, name).values())
    assert enforcer.status()["healthy"]
    assert EVENING not in lately(enforcer, NIGHT_S)
    assert abs(lately(enforcer, 0)[EVENING]) < LATELY_S
