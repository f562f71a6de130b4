"""A moment in the past, as people write it: ``10m``, ``14:30``, ``2026-11-24T14:30``.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import datetime
import re

from enforcer.core.wording import quoted

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?P<number>\d{1,9})\s*(?P<unit>[smhd])", re.ASCII)
_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?", re.ASCII)
_ZULU = re.compile(r"[zZ]$")
FORMS = "a duration (90s, 10m, 2h, 1d) or a time (14:30, 2026-11-24T14:30)"


def parse_moment(text: str, now: datetime.datetime) -> float:
    """Return when *text* says, in seconds since the epoch.

    Args:
        text: so long ago, or a time; without a zone, in that of *now*. A time of day is the
            last one that was.
        now: with a zone.

    Raises:
        ValueError: it is neither, in words.
    """
    text = text.strip()
    try:
        if match := _DURATION.fullmatch(text):
            ago = datetime.timedelta(seconds=int(match["number"]) * _UNITS[match["unit"]])
            return now.timestamp() - ago.total_seconds()
        if _OF_DAY.fullmatch(text):
            clock = datetime.time.fromisoformat(text if text[2] == ":" else f"0{text}")
            today = datetime.datetime.combine(now.date(), clock, now.tzinfo)
            day = datetime.timedelta(days=1)
            return (today if today <= now else today - day).timestamp()
        # Python 3.10 knows no Z.
        moment = datetime.datetime.fromisoformat(_ZULU.sub("+00:00", text))
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
        return zoned.timestamp()
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{quoted(text)} is no moment: give {FORMS}") from exc
