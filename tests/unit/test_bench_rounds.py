"""The statistics of benchmarks: percentiles, ratios by round, order of the variants."""

from __future__ import annotations

import math

import pytest

from bench.results import Goal, Table, at_most, goals_table, ratio, render
from bench.rounds import Series, Spread, interleaved, percentile, spread


@pytest.mark.parametrize(
    ("samples", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 50, 2.0),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 1001)), 99, 990),
        ([1.0, 2.0], 100, 2.0),
        ([1.0, 2.0], 0, 1.0),
    ],
)
def test_a_percentile_is_a_sample(samples: list[float], percent: float, expected: float) -> None:
    """The nearest rank is taken, nothing is interpolated."""
    assert percentile(samples, percent) == expected


def test_no_samples_have_no_figures() -> None:
    """Where nothing was made, NaN says so, and a table shows a dash."""
    assert math.isnan(percentile([], 50))
    assert math.isnan(spread([]).median)
    assert ratio(spread([])) == "-"


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that slows down tenfold between two rounds changes no ratio."""
    base = Series(((1.0, 1.0, 1.0), (10.0, 10.0, 10.0)))
    mine = Series(((2.0, 2.0, 2.0), (20.0, 20.0, 20.0)))
    assert mine.over(base, 50) == Spread(2.0, 2.0, 2.0)
    assert mine.percentile(100) == 20.0


def test_a_round_without_samples_has_no_ratio() -> None:
    """A round in which one side got nothing is left out, the others count."""
    base = Series(((1.0,), (1.0,), ()))
    mine = Series(((3.0,), (), (5.0,)))
    assert mine.over(base, 50) == Spread(3.0, 3.0, 3.0)


def test_series_of_different_rounds_are_not_compared() -> None:
    """What was not measured side by side has no ratio."""
    with pytest.raises(ValueError, match="longer"):
        Series(((1.0,),)).over(Series(((1.0,), (1.0,))), 50)


def test_each_variant_comes_once_a_round_and_first_in_turn() -> None:
    """Three rounds of three variants: every one is first once."""
    order = list(interleaved(3, "abc"))
    rounds = [order[0:3], order[3:6], order[6:9]]
    assert [sorted(each) for each in rounds] == [list("abc")] * 3
    assert sorted(each[0] for each in rounds) == list("abc")


@pytest.mark.parametrize(
    ("values", "measured", "met"),
    [
        ([1.1, 1.2], "1.10/1.20", True),
        ([1.1, 1.3], "1.10/1.30", False),
        ([1.2, 1.2], "1.20/1.20", False),
        ([math.nan, 1.0], "-", None),
    ],
)
def test_a_goal_is_met_when_every_value_is(values: list[float], measured: str, met: object) -> None:
    """Each value has its own limit; what was not measured is neither met nor not."""
    first, second = values
    goal = at_most("f", "r", ("{:.2f}", 1.1, first), ("{:.2f}", 1.25, second))
    assert (goal.measured, goal.met) == (measured, met)


def test_tables_are_aligned() -> None:
    """The first column is text, the others are figures; no line ends in spaces."""
    text = render(Table("Title", ("", "us"), (("one", "1"), ("eleven", "1,100"))))
    assert text == "Title\n\n           us\none         1\neleven  1,100"


def test_goals_say_whether_they_are_met() -> None:
    """Met, not met and not measured read differently."""
    goals = [
        Goal("a", "1", "1", met=True),
        Goal("b", "1", "2", met=False),
        Goal("c", "1", "-", None),
    ]
    assert [row[-1] for row in goals_table(goals).rows] == ["met", "NOT met", "-"]
