"""Whether a figure grows: a slope that single samples can't bend. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

_HOUR_S = 3600.0
# All pairs of some hundred samples are enough, and of more too many.
_SAMPLES_MAX = 400


def per_hour(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return how much *values* grow in an hour: the median slope of all pairs.

    That is the estimator of Theil and Sen: up to 29 % of the samples may be anything.

    Raises:
        ValueError: there are fewer than two samples.
    """
    step = -(-len(values) // _SAMPLES_MAX)
    points = tuple(zip(times_s, values, strict=True))[::step]
    slopes = [
        (later - earlier) / (end - start)
        for (start, earlier), (end, later) in itertools.combinations(points, 2)
        if end > start
    ]
    if not slopes:
        raise ValueError("a slope needs two samples")
    return statistics.median(slopes) * _HOUR_S
