"""Moments as people write them."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.moment import FORMS, parse_moment

ZONE = datetime.timezone(datetime.timedelta(hours=2))
NOW = datetime.datetime(2026, 11, 24, 14, 30, 0, tzinfo=ZONE)


def at(text: str) -> float:
    """Return the moment *text*, with its zone, in seconds since the epoch."""
    return datetime.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-11-24T14:28:30+02:00"),
        ("10m", "2026-11-24T14:20:00+02:00"),
        ("2h", "2026-11-24T12:30:00+02:00"),
        ("1d", "2026-11-23T14:30:00+02:00"),
        (" 10 m ", "2026-11-24T14:20:00+02:00"),
        ("14:00", "2026-11-24T14:00:00+02:00"),
        ("9:05", "2026-11-24T09:05:00+02:00"),
        ("14:30:00", "2026-11-24T14:30:00+02:00"),
        ("14:31", "2026-11-23T14:31:00+02:00"),
        ("2026-11-24", "2026-11-24T00:00:00+02:00"),
        ("2026-11-24T10:00", "2026-11-24T10:00:00+02:00"),
        ("2026-11-24 10:00:01", "2026-11-24T10:00:01+02:00"),
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00+00:00"),
        ("2026-11-24T10:00:00-05:00", "2026-11-24T10:00:00-05:00"),
    ],
)
def test_a_moment_is_understood(text: str, moment: str) -> None:
    """Without a zone in that of the reader; a time of day is the last one that was."""
    assert parse_moment(text, NOW) == at(moment)


@pytest.mark.parametrize(
    "text", ["", "10", "-10m", "10 weeks", "25:00", "yesterday", "2026-13-01", "9" * 10 + "d"]
)
def test_what_is_no_moment_is_said(text: str) -> None:
    """With what to give instead."""
    with pytest.raises(ValueError, match="is no moment") as caught:
        parse_moment(text, NOW)
    assert FORMS in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_none(text: str) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(ValueError):
        parse_moment(text, NOW)
