"""The daemon's thread while answers come: behind all others, but never for long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from enforcer.edge.scheduling import BUSY_FOR_S, STARVED_S, Courtesy, ordinary

pytestmark = pytest.mark.root  # who stepped back may not come forward without CAP_SYS_NICE


@pytest.fixture
def courtesy() -> Iterator[Courtesy]:
    """Have the thread of the test be courteous, and as it was afterwards."""
    courtesy = Courtesy()
    yield courtesy
    courtesy.end()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_others_run_first_during_a_burst(courtesy: Courtesy) -> None:
    """From its beginning to its end, every time."""
    for start in (1.0, 2.0):
        courtesy.begin(start)
        assert os.sched_getscheduler(0) == os.SCHED_IDLE
        courtesy.end()
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_thread_that_gets_no_turn_takes_its_place_again(courtesy: Courtesy) -> None:
    """On a machine whose CPUs are all busy it would be too late for everything."""
    courtesy.begin(1.0)
    courtesy.starving(STARVED_S, 1.5)
    assert os.sched_getscheduler(0) == os.SCHED_IDLE
    courtesy.starving(STARVED_S * 2, 2.0)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    courtesy.begin(2.0 + BUSY_FOR_S / 2)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    courtesy.begin(2.0 + BUSY_FOR_S)
    assert os.sched_getscheduler(0) == os.SCHED_IDLE


def test_a_thread_that_is_started_during_a_burst_is_ordinary(courtesy: Courtesy) -> None:
    """It would stay behind for ever: threads inherit the policy of who starts them."""
    courtesy.begin(1.0)
    for initializer, policy in ((None, os.SCHED_IDLE), (ordinary, os.SCHED_OTHER)):
        with ThreadPoolExecutor(1, initializer=initializer) as executor:
            assert executor.submit(os.sched_getscheduler, 0).result() == policy
