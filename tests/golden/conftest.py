"""Times of day in texts that people have reviewed are those of one zone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

# An hour and a half ahead: where it was not asked for, it shows.
ZONE = "XXX-1:30"


@pytest.fixture(autouse=True)
def _in_one_zone() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = ZONE
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()
