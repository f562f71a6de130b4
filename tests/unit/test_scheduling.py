"""The daemon's thread while answers come: behind all others, but never for long."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from enforcer.edge.scheduling import BUSY_FOR_S, CROWD, STARVED_S, Courtesy, crowded, ordinary

pytestmark = pytest.mark.root  # who stepped back may not come forward without CAP_SYS_NICE


@pytest.fixture
def courtesy() -> Iterator[Courtesy]:
    """Have the thread of the test be courteous, and as it was afterwards."""
    courtesy = Courtesy(crowded=lambda: False)
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


def test_nobody_steps_back_in_a_crowd() -> None:
    """Twenty busy threads on two CPUs kept the daemon from doing anything for twenty seconds."""
    company = [True]
    courtesy = Courtesy(crowded=lambda: company[0])
    courtesy.begin(1.0)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    company[0] = False
    courtesy.begin(2.0)
    assert os.sched_getscheduler(0) == os.SCHED_IDLE
    courtesy.starving(0.0, 2.5)
    assert os.sched_getscheduler(0) == os.SCHED_IDLE
    company[0] = True
    courtesy.starving(0.0, 3.0)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_crowd_is_told_from_company() -> None:
    """By the threads that want to run now, against the CPUs there are for them."""
    with contextlib.ExitStack() as stack:
        for _ in range((CROWD + 1) * len(os.sched_getaffinity(0))):
            busy = stack.enter_context(
                subprocess.Popen(
                    (sys.executable, "-c", "print(flush=True)\nwhile True: pass"),
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(busy.kill)
            assert busy.stdout is not None
            busy.stdout.readline()
        assert crowded()


def test_a_thread_that_is_started_during_a_burst_is_ordinary(courtesy: Courtesy) -> None:
    """It would stay behind for ever: threads inherit the policy of who starts them."""
    courtesy.begin(1.0)
    for initializer, policy in ((None, os.SCHED_IDLE), (ordinary, os.SCHED_OTHER)):
        with ThreadPoolExecutor(1, initializer=initializer) as executor:
            assert executor.submit(os.sched_getscheduler, 0).result() == policy
