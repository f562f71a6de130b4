"""Rest: how long to leave alone what is shared, after work that took a while.

Pure: no I/O, no clock; times are in monotonic seconds and never go back.
"""

from __future__ import annotations


class Rest:
    """Lets work take a share of the time in the long run, and more after a pause.

    Args:
        share: of the time, for work, as far as it costs any.
        credit_s: a pause longer than this counts as this long.
    """

    def __init__(self, share: float, credit_s: float) -> None:
        self._share = share
        self._credit_s = credit_s
        self._paid_until = float("-inf")

    def after(self, started: float, ended: float, cost_s: float) -> float:
        """Return how many seconds to rest after work that lasted from *started* to *ended*.

        Args:
            started: when it began.
            ended: and when it was done.
            cost_s: what it took of all that: on a busy machine most of the time is others'.
        """
        paid_until = max(self._paid_until, started - self._credit_s)
        self._paid_until = paid_until + cost_s / self._share
        return max(0.0, self._paid_until - ended)
