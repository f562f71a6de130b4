"""The port of metrics, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from enforcer.edge.control import Text
from enforcer.edge.metrics_port import ADDRESS, MOST_AT_ONCE, MetricsPort, PortError
from enforcer.errors import DatapathError

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Renderer:
    """Says how often it was asked, or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.mistake: DatapathError | None = None

    async def __call__(self) -> Text:
        """Return another text each time."""
        self.calls += 1
        if self.mistake is not None:
            raise self.mistake
        return Text(f"calls {self.calls}\n".encode(), "text/plain; version=0.0.4")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server((ADDRESS, 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


async def ask(port: int, request: bytes = GET) -> bytes:
    """Return all that is answered."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def serving(body: Callable[[int, MetricsPort, Renderer], Awaitable[None]]) -> None:
    """Run *body* with a port that is served."""

    async def run() -> None:
        renderer, port = Renderer(), free_port()
        served = MetricsPort(renderer)
        await served.listen(port)
        try:
            await asyncio.wait_for(body(port, served, renderer), 20)
        finally:
            await served.close()

    asyncio.run(run())


def test_it_says_what_there_is() -> None:
    """With its type and length, and hangs up."""

    async def body(port: int, _served: MetricsPort, _renderer: Renderer) -> None:
        head, _, content = (await ask(port)).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 200 OK"
        assert b"Content-Type: text/plain; version=0.0.4" in lines
        assert b"Content-Length: 8" in lines
        assert content == b"calls 1\n"

    serving(body)


def test_whoever_asks_again_at_once_is_told_the_same() -> None:
    """Anybody may ask: it costs the daemon no more than one answer a second."""

    async def body(port: int, _served: MetricsPort, renderer: Renderer) -> None:
        answers = await asyncio.gather(*(ask(port) for _ in range(MOST_AT_ONCE)))
        assert all(answer.endswith(b"\r\n\r\ncalls 1\n") for answer in answers)
        assert renderer.calls == 1

    serving(body)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET /reload HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200 OK"),
    ],
)
def test_it_has_nothing_else(request_: bytes, status: bytes) -> None:
    """What changes something is the control socket's."""

    async def body(port: int, _served: MetricsPort, _renderer: Renderer) -> None:
        answer = await ask(port, request_)
        assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
        assert answer.endswith(b"\r\n\r\n") is request_.startswith(b"HEAD")

    serving(body)


@pytest.mark.parametrize(
    "request_", [b"nonsense\r\n\r\n", b"x" * 100_000, b"\xff\xfe\r\n\r\n", b""]
)
def test_nonsense_is_survived(request_: bytes) -> None:
    """It is refused or hung up on, and the next one is served."""

    async def body(port: int, _served: MetricsPort, _renderer: Renderer) -> None:
        reader, writer = await asyncio.open_connection(ADDRESS, port)
        writer.write(request_)
        writer.write_eof()
        assert b"200 OK" not in await reader.read()
        writer.close()
        assert b"200 OK" in await ask(port)

    serving(body)


def test_who_says_nothing_keeps_nobody_out() -> None:
    """Of ever so many that are silent the oldest are hung up on, and take no descriptors."""

    async def body(port: int, _served: MetricsPort, _renderer: Renderer) -> None:
        silent = [await asyncio.open_connection(ADDRESS, port) for _ in range(3 * MOST_AT_ONCE)]
        assert b"200 OK" in await ask(port)
        for reader, _ in silent[: 2 * MOST_AT_ONCE]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        for _, writer in silent:
            writer.close()

    serving(body)


def test_a_failure_is_said() -> None:
    """With the reason: Prometheus counts the target as down."""

    async def body(port: int, _served: MetricsPort, renderer: Renderer) -> None:
        renderer.mistake = DatapathError("the kernel does not say")
        answer = await ask(port)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"the kernel does not say\n")

    serving(body)


def test_a_port_that_is_taken_is_an_error() -> None:
    """With the remedy; the one before is given up."""

    async def body(port: int, served: MetricsPort, _renderer: Renderer) -> None:
        with socket.create_server((ADDRESS, 0)) as other:
            taken = other.getsockname()[1]
            with pytest.raises(PortError, match=f"port {taken}: ") as caught:
                await served.listen(taken)
        assert "metrics in the policy" in (caught.value.hint or "")
        with pytest.raises(OSError, match="Connect call failed"):
            await ask(port)

    serving(body)
