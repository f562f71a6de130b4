"""What reaches systemd's journal: a message with a priority, and fields to search by."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.journal import JournalHandler, is_stderr

DENIAL = {"host": "ghcr.io", "port": 443, "unit": None, "container": {"id": "8c2f"}}


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.records.append(record)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Return a socket where the journal's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(os.fspath(tmp_path / "socket"))
        listening.settimeout(5)
        yield listening


@contextlib.contextmanager
def logger(path: Path, otherwise: logging.Handler) -> Iterator[logging.Logger]:
    """Make a logger of its own for a journal at *path*."""
    made = logging.getLogger(os.fspath(path))
    made.propagate = False
    made.setLevel(logging.INFO)
    handler = JournalHandler(otherwise, path)
    made.addHandler(handler)
    try:
        yield made
    finally:
        made.removeHandler(handler)
        handler.close()


def parsed(data: bytes) -> dict[str, str]:
    """Return the fields of an entry, by the protocol's description."""
    fields = {}
    while data:
        name, data = data.split(b"\n", 1)
        (size,) = struct.unpack_from("<Q", data)
        fields[name.decode()] = data[8 : 8 + size].decode()
        assert data[8 + size : 9 + size] == b"\n"
        data = data[9 + size :]
    return fields


def test_a_record_becomes_an_entry_with_fields(journal: socket.socket, tmp_path: Path) -> None:
    """The message leads with its own words; what is not known is left out."""
    with logger(tmp_path / "socket", Kept()) as log:
        log.warning("registry access\nto %s", "ghcr.io", extra={"fields": {"denial": DENIAL}})
    assert parsed(journal.recv(1 << 16)) == {
        "MESSAGE": "registry access\nto ghcr.io",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "enforcer",
        "ENFORCER_DENIAL_HOST": "ghcr.io",
        "ENFORCER_DENIAL_PORT": "443",
        "ENFORCER_DENIAL_CONTAINER_ID": "8c2f",
    }


def test_a_mistake_of_ours_has_its_traceback(journal: socket.socket, tmp_path: Path) -> None:
    """In the message, as on standard error."""
    with logger(tmp_path / "socket", Kept()) as log:
        try:
            int("x")
        except ValueError:
            log.exception("it failed")
    entry = parsed(journal.recv(1 << 16))
    assert entry["PRIORITY"] == "3"
    assert entry["MESSAGE"].startswith("it failed\nTraceback")


def test_what_the_journal_does_not_take_goes_elsewhere(tmp_path: Path) -> None:
    """While it restarts there is no socket."""
    kept = Kept()
    with logger(tmp_path / "socket", kept) as log:
        log.info("hello")
    assert [each.getMessage() for each in kept.records] == ["hello"]


def test_standard_error_is_the_journal_only_where_systemd_says_so(tmp_path: Path) -> None:
    """A daemon started by hand in a service's shell inherits the variable, not the stream."""
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        assert is_stderr(stream, file.fileno())
        assert not is_stderr(f"{status.st_dev}:{status.st_ino + 1}", file.fileno())
        assert not is_stderr(None, file.fileno())
        closed = file.fileno()
    assert not is_stderr(stream, closed)
