"""Events of all kinds under a load of connections: the short form of `./dev chaos`."""

from __future__ import annotations

import pytest

from chaos.events import Record
from chaos.judgement import FAILED, PASSED, Swing
from chaos.kinds import FRESH, SWINGS
from chaos.plan import KINDS, plan, upgrade
from chaos.previous import NoSuchCommit, package
from chaos.report import right
from chaos.run import Outcome, found, run
from chaos.world import PLACES, probing, world
from tests.lab.wait import until

pytestmark = pytest.mark.root

SEED = 2704
# Connections a second: the events are what takes the time here.
RATE = 300.0
# On a machine that runs other tests too.
WHOLE_WITHIN_S = 30.0


# What a firewall that is broken both ways does: it denies what is new, and nothing else.
BROKEN = f"""
table inet lab_broken {{
  chain judge {{
    ip daddr {FRESH.networks[0]} meta l4proto tcp reject with tcp reset
    ip6 daddr {FRESH.networks[1]} meta l4proto tcp reject with tcp reset
  }}
  chain output {{ type filter hook output priority filter; jump judge; }}
  chain forward {{ type filter hook forward priority filter; jump judge; }}
}}
"""


def made_sense(outcome: Outcome) -> bool:
    """Tell whether connections were made and refused from everywhere, as many as asked for."""
    return all(
        sum(count for key, count in outcome.counts[place].items() if result in key) > 100
        for place in PLACES
        for result in ("known 4 connected", "fresh 6 connected", "bare 4 ECONN", "other 6 ECONN")
    )


def unmet(outcome: Outcome) -> list[str]:
    """Return what was to be reached and was not, in words; times are for a quiet machine."""
    return [f"{each.figure}: {each.measured}" for each in right(outcome) if not each.met]


# Where connections are not tracked, those of containers go on when their host goes.
@pytest.mark.needs("reject", "ct")
@pytest.mark.timeout(240)
def test_nothing_passes_and_nothing_fails_whatever_happens() -> None:
    """But for what an event itself cut, until that was seen whole again."""
    steps = plan(20, SEED)
    assert {step.kind for step in steps} == set(KINDS)
    outcome = run(steps, RATE, SEED)
    assert unmet(outcome) == [], (outcome.unexcused[:20], outcome.record.complaints)
    assert len(outcome.record.events) == len(steps)
    assert all(window.lasted_s < WHOLE_WITHIN_S for window in outcome.record.windows)
    assert made_sense(outcome)


@pytest.mark.timeout(120)
def test_the_daemon_of_the_commit_before_gives_way() -> None:
    """With what it left in the kernel at work, until this one enforces."""
    try:
        with package("HEAD~1") as before:
            outcome = run((upgrade(SEED),), RATE, SEED, before=before)
    except NoSuchCommit as exc:
        pytest.skip(f"no commit before this one: {exc}")
    assert unmet(outcome) == [], (outcome.unexcused[:20], outcome.record.complaints)
    assert outcome.faults == ()


def test_a_broken_firewall_is_found_out() -> None:
    """In the world, at the client, from everywhere: what passes and what fails."""
    with world() as net:
        net.host.nft(BROKEN)
        with probing(net, RATE, SEED) as scripts:
            until(
                lambda: scripts.witness.output.stat().st_size > 10_000, 30, "packets in the world"
            )
    outcome = found(Record(swings=[Swing(0.0, SWINGS[0])]), 0.0, scripts)
    wrong = {(fault.what, fault.where, fault.kind) for fault in outcome.unexcused}
    assert wrong >= {
        (PASSED, where, kind) for where in (*PLACES, "world") for kind in ("bare", "other")
    }
    assert wrong >= {(FAILED, place, "fresh") for place in PLACES}
    assert not {kind for _, _, kind in wrong} & {"known", "swing-a"}
    assert outcome.missed == 0
