"""Log records for systemd's journal, with their fields: its native protocol over a datagram socket.

Standard library only. Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ and, for
$JOURNAL_STREAM, systemd.exec(5).
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
STREAM_VARIABLE = "JOURNAL_STREAM"
_PREFIX, _IDENTIFIER = "ENFORCER", "enforcer"
# As syslog(3) counts them.
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def is_stderr(stream: str | None, stderr: int = 2) -> bool:
    """Tell whether the descriptor *stderr* leads to the journal.

    Args:
        stream: what $JOURNAL_STREAM says: device and inode of whatever systemd connected.
        stderr: may lead elsewhere since.
    """
    try:
        status = os.fstat(stderr)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Sends each record to the journal; one that it does not take goes to *otherwise*.

    `extra={"fields": {"denial": {"host": ...}}}` becomes ENFORCER_DENIAL_HOST.

    Args:
        otherwise: for when the journal restarts, say.
        path: of its socket.
    """

    def __init__(self, otherwise: logging.Handler, path: Path = SOCKET) -> None:
        super().__init__()
        self._otherwise = otherwise
        self._path = os.fspath(path)
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_UNIX, kind)

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*."""
        try:
            self._socket.sendto(b"".join(self._fields(record)), self._path)
        except OSError:
            self._otherwise.handle(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> Iterator[bytes]:
        text = self.format(record)
        yield _field("MESSAGE", text)
        yield _field("PRIORITY", _PRIORITIES.get(record.levelno, 6))
        yield _field("SYSLOG_IDENTIFIER", _IDENTIFIER)
        for name, value in _flat(_PREFIX, getattr(record, "fields", {})):
            yield _field(name, value)


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}_{str(key).upper()}", inner)
    elif value is not None:
        yield name, value


def _field(name: str, value: object) -> bytes:
    # With its length, so that a line end is no end of the value.
    content = str(value).encode("utf-8", errors="backslashreplace")
    return name.encode() + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"
