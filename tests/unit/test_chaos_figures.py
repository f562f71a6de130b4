"""Plans, slopes and graphs of `./dev chaos` and `./dev soak`."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from chaos.graph import svg
from chaos.plan import KINDS, plan
from chaos.trend import per_hour

SVG = "{http://www.w3.org/2000/svg}"


def test_a_seed_makes_one_plan() -> None:
    """A run can be repeated; another seed makes another one."""
    assert plan(50, 4) == plan(50, 4)
    assert plan(50, 4) != plan(50, 5)
    assert plan(50, 4)[:20] == plan(20, 4)


def test_each_kind_comes_before_any_comes_again() -> None:
    """Short runs have every kind of event too."""
    for seed in range(20):
        assert {step.kind for step in plan(len(KINDS), seed)} == set(KINDS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0] * 10, 0.0),
        ([float(n) for n in range(10)], 3600.0),
        # Two bursts and a step that comes and goes are no growth.
        ([5.0, 5.0, 90.0, 5.0, 5.0, 5.0, 5.0, 80.0, 5.0, 5.0], 0.0),
    ],
)
def test_a_slope_is_not_bent_by_single_samples(values: list[float], expected: float) -> None:
    """One sample a second; growth an hour."""
    assert per_hour(range(10), values) == pytest.approx(expected)


def test_a_slope_of_many_samples_takes_some_of_them() -> None:
    """Their beginning and their end among them."""
    assert per_hour(range(5000), [2.0 * n for n in range(5000)]) == pytest.approx(7200.0)


def test_a_slope_needs_two_samples() -> None:
    """One says nothing."""
    with pytest.raises(ValueError, match="two samples"):
        per_hour([1.0], [1.0])


def test_a_graph_has_a_panel_for_each_figure() -> None:
    """Well formed, with the ends of its scale as text, and with marks."""
    image = svg("a <run>", [0, 60, 120], {"MiB": [1, 2, 4], "threads": [3, 3, 3]}, [30])
    root = ET.fromstring(image)  # noqa: S314 - our own text
    lines = [each.get("points", "") for each in root.iter(f"{SVG}polyline")]
    assert [len(line.split()) for line in lines] == [3, 3]
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"a <run>", "MiB", "threads", "4", "0", "2 minutes"} <= set(texts)
    assert len(list(root.iter(f"{SVG}line"))) == 2
    # The least of the first figure is above 0, where its panel begins.
    assert lines[0].split()[0].startswith("130.0,")
