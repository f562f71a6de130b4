"""The daemon's log: a line for people or a JSON object for machines, on stderr."""

from __future__ import annotations

import json
import logging
import sys

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
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(levelname)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else plain)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
