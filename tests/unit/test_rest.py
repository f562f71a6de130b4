"""How much of the time work may take: more after a pause, a share in the long run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.rest import Rest


def test_the_first_works_after_a_pause_need_no_rest() -> None:
    """Ten changes one after the other were followed later and later."""
    rest = Rest(0.25, credit_s=1.0)
    assert rest.after(0.0, 0.125, 0.125) == 0.0
    assert rest.after(0.125, 0.25, 0.125) == 0.0
    assert rest.after(10.0, 10.125, 0.125) == 0.0


def test_what_has_no_credit_left_rests_three_times_as_long() -> None:
    """A look that takes longer than the credit lasts rests for what is beyond it."""
    rest = Rest(0.25, credit_s=1.0)
    assert rest.after(0.0, 1.0, 1.0) == 2.0
    assert rest.after(3.0, 3.5, 0.5) == 1.5


def test_what_others_took_of_the_time_is_not_made_up_for() -> None:
    """On a busy machine a look lasts long and costs little: rests went on for seconds."""
    rest = Rest(0.25, credit_s=1.0)
    assert rest.after(0.0, 1.0, 0.125) == 0.0
    assert rest.after(1.0, 2.0, 0.5) == 0.0
    assert rest.after(2.0, 3.0, 1.0) == 3.0


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=50))
def test_work_without_a_pause_has_its_share(works: list[float]) -> None:
    """However long each takes, beyond the credit of the beginning."""
    rest, now = Rest(0.25, credit_s=1.0), 0.0
    for work in works:
        ended = now + work
        now = ended + rest.after(now, ended, work)
    assert sum(works) <= 0.25 * (now + 1.0) + max(works)
