"""The control socket, with a real server and a real client on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcer.edge.client import Refused, request
from enforcer.edge.control import ControlError, Server
from enforcer.errors import DatapathError, NotRunning


async def _answer(query: Mapping[str, str]) -> object:
    return {"asked": dict(query)}


async def _refuse(_query: Mapping[str, str]) -> object:
    raise DatapathError("the kernel said no", hint="ask it nicely")


async def _fail(_query: Mapping[str, str]) -> object:
    raise ZeroDivisionError


def _request(method: str, path: Path, target: str) -> object:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return request(method, path, target)


def ask(path: Path, method: str, target: str) -> object:
    """Start a server at *path* and send it one request from another thread."""

    async def both() -> object:
        server = Server(path, reads={"/answer": _answer}, changes={"/no": _refuse, "/bug": _fail})
        await server.start()
        try:
            return await asyncio.to_thread(_request, method, path, target)
        finally:
            await server.stop()

    return asyncio.run(both())


def test_an_answer_comes_back_as_it_was_given(tmp_path: Path) -> None:
    """What the handler returns is what the caller gets, its query included."""
    assert ask(tmp_path / "s", "GET", "/answer?host=ghcr.io") == {"asked": {"host": "ghcr.io"}}


def test_a_refusal_keeps_its_words_and_its_exit_code(tmp_path: Path) -> None:
    """An error of the daemon reads the same at the command line."""
    with pytest.raises(Refused, match=r"the kernel said no \(hint: ask it nicely\)") as caught:
        ask(tmp_path / "s", "POST", "/no")
    assert caught.value.exit_code == 1


def test_a_mistake_of_the_daemon_is_not_taken_for_its_absence(tmp_path: Path) -> None:
    """A daemon that fails to answer is running all the same."""
    with pytest.raises(Refused, match="failed to answer"):
        ask(tmp_path / "s", "POST", "/bug")


def test_a_daemon_that_ends_under_a_request_is_said_to(tmp_path: Path) -> None:
    """It was killed, or its watchdog did that: no number of an error."""
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "s"))
        daemon.listen()

        def end() -> None:
            daemon.accept()[0].close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(end)
            with pytest.raises(Refused, match="before it answered"):
                request("POST", tmp_path / "s", "/reload")


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """What changes something is not to be had with GET."""
    with pytest.raises(Refused):
        ask(tmp_path / "s", "GET", "/no")


@pytest.mark.parametrize("leftover", [False, True])
def test_nobody_listening_is_said_so(tmp_path: Path, *, leftover: bool) -> None:
    """No socket, or one whose daemon died, is a daemon that does not run."""
    socket = tmp_path / "s"
    if leftover:
        ask(socket, "GET", "/answer")
        socket.touch()
    with pytest.raises(NotRunning, match="no enforcer listens"):
        request("GET", socket, "/status")


def test_a_stop_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Who serves a connection lets go of it at the same time, which once broke the stop."""

    async def body() -> None:
        server = Server(tmp_path / "s", reads={"/answer": _answer}, changes={})
        await server.start()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(100)]
            for client in clients:
                client.settimeout(10)
                await asyncio.to_thread(client.connect, str(tmp_path / "s"))
            # The last one is accepted: all before it are.
            await asyncio.sleep(0)
            await server.stop()
            assert {client.recv(1) for client in clients} <= {b""}

    asyncio.run(body())


def test_a_change_that_its_client_gave_up_is_not_made(tmp_path: Path) -> None:
    """A daemon that was stopped for two minutes ended when it went on: `off` had failed by then."""
    path, made = tmp_path / "s", []

    async def change(query: Mapping[str, str]) -> object:
        made.append(query["by"])
        return None

    async def body() -> None:
        server = Server(path, reads={}, changes={"/off": change})
        await server.start()
        try:
            with socket.socket(socket.AF_UNIX) as client:  # before the server's turn comes
                client.connect(str(path))
                client.sendall(b"POST /off?by=first HTTP/1.1\r\n\r\n")
            await asyncio.to_thread(_request, "POST", path, "/off?by=second")
        finally:
            await server.stop()

    asyncio.run(body())
    assert made == ["second"]


def test_no_descriptor_for_the_socket_is_one_clear_error(tmp_path: Path) -> None:
    """Somebody removes it while none is left: the daemon tries again instead of ending."""

    async def start() -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            with pytest.raises(ControlError, match="Too many open files"):
                await Server(tmp_path / "s", reads={}, changes={}).start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    asyncio.run(start())
