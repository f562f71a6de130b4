"""Pace: how many lookups may begin, so that a long policy floods nobody.

Pure: no I/O, no clock; every `now` is in monotonic seconds and never goes back.
"""

from __future__ import annotations


class Pace:
    """A token bucket, full at first.

    Args:
        rate: that many begin in a second, in the long run.
        burst: that many may begin at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at: float | None = None

    def left(self, now: float) -> int:
        """Return how many may begin at *now*."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """Count *count* that have begun, at most what `left` returned."""
        self._tokens -= count

    def wait_s(self) -> float:
        """Return how long after the last `left` one more may begin."""
        return max(0.0, (1 - self._tokens) / self._rate)
