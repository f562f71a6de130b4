"""Moments as people read them."""

from __future__ import annotations

import datetime


def local(moment: str) -> str:
    """Return *moment*, of a document, in this machine's time zone."""
    return f"{datetime.datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
