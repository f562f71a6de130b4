"""What was put back lately after somebody else had changed it.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

# Long enough for whoever looks because something failed; the log has them all.
SHOWN_FOR_S = 600.0
# Of those that differ: a tool that fights us names the same again and again.
MAX_SHOWN = 10


@dataclass(frozen=True)
class Repair:
    """Something that was put back.

    Attributes:
        text: what somebody had changed.
        at: wall clock, seconds since the epoch, the last time.
        done: monotonic seconds, likewise.
        times: how often since it is shown.
    """

    text: str
    at: float
    done: float
    times: int = 1


class Repairs:
    """The repairs that are still news; one that repeats is one, counted.

    Attributes:
        total: of all that there were.
    """

    def __init__(self) -> None:
        self.total = 0
        self._repairs: dict[str, Repair] = {}

    def add(self, text: str, now: float, at: float) -> None:
        """Record that what *text* says was put back.

        Args:
            text: what somebody had changed.
            now: monotonic seconds.
            at: wall clock, seconds since the epoch.
        """
        self.total += 1
        times = sum(each.times for each in self.recent(now) if each.text == text)
        self._repairs.pop(text, None)
        self._repairs[text] = Repair(text, at, now, times + 1)
        while len(self._repairs) > MAX_SHOWN:
            del self._repairs[next(iter(self._repairs))]

    def recent(self, now: float) -> tuple[Repair, ...]:
        """Return those of the last SHOWN_FOR_S, oldest first."""
        return tuple(e for e in self._repairs.values() if now - e.done < SHOWN_FOR_S)
