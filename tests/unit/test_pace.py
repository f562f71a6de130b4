"""How many lookups may begin."""

from __future__ import annotations

import pytest

from enforcer.core.pace import Pace


def test_a_burst_then_the_rate() -> None:
    """What was saved up is spent at once, then time alone brings more."""
    pace = Pace(rate=10.0, burst=3)
    assert pace.left(100.0) == 3
    assert pace.wait_s() == 0.0
    pace.spend(3)
    assert pace.left(100.0) == 0
    assert pace.wait_s() == pytest.approx(0.1)
    assert pace.left(100.25) == 2
    pace.spend(2)
    assert pace.wait_s() == pytest.approx(0.05)


def test_no_more_than_a_burst_is_saved_up() -> None:
    """An idle day is no reason for a flood after it."""
    pace = Pace(rate=10.0, burst=3)
    pace.left(0.0)
    pace.spend(3)
    assert pace.left(86_400.0) == 3
