"""The daemon's log: a line for people or a JSON object for machines, on stderr.

Where stderr is systemd's journal, a line for people goes there as an entry with fields.
"""

from __future__ import annotations

import json
import logging
import os
import sys

from enforcer.journal import STREAM_VARIABLE, JournalHandler, is_stderr

LOGGER = logging.getLogger("enforcer")
FORMATS = ("plain", "json")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Render *record*."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def set_up(log_format: str) -> None:
    """Send the log to stderr as *log_format*, one of FORMATS."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(levelname)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else plain)
    if log_format == "plain" and is_stderr(os.environ.get(STREAM_VARIABLE)):
        handler = JournalHandler(otherwise=handler)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
