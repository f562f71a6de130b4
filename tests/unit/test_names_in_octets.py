"""Names that are not UTF-8, as the kernel lets interfaces have them, on their way out."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from enforcer.edge.dns_socket import connected
from enforcer.edge.notify import VARIABLE, notify

NAME = os.fsdecode(b"b\xffro")


def test_a_socket_is_bound_to_an_interface_of_any_name() -> None:
    """There is none called so, which the kernel says itself; the name was refused before."""

    async def connect() -> None:
        async with connected(socket.SOCK_DGRAM, ip_address("127.0.0.1"), 53, NAME):
            pass

    with pytest.raises(OSError, match=r"No such device|Operation not permitted"):
        asyncio.run(connect())


def test_the_service_manager_is_told_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem with such a name in its text ended what feeds the watchdog."""
    path = tmp_path / "notify"
    monkeypatch.setenv(VARIABLE, str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        notify(f"STATUS=can't look at {NAME}")
        assert manager.recv(100) == b"STATUS=can't look at b\\udcffro"
