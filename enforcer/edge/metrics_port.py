"""A TCP port on the loopback that has one thing to say, to anybody there: HTTP, read only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from enforcer.edge.control import Text  # noqa: TID251 - what is said
from enforcer.errors import EnforcerError
from enforcer.log import LOGGER

ADDRESS = "127.0.0.1"
PATH = "/metrics"
# Anybody may connect, and say nothing: of so many the oldest is hung up on. A scraper asks as
# soon as it is connected, and hears what was said a moment ago.
MOST_AT_ONCE = 32
PATIENCE_S = 5.0
SAME_FOR_S = 1.0
HEAD_SIZE = 1 << 13
PLAIN = "text/plain; charset=utf-8"


class PortError(EnforcerError):
    """The port can't be listened at."""


class MetricsPort:
    """Answers GET and HEAD of PATH with what *render* returns.

    Args:
        render: called once in SAME_FOR_S at the most, on the running event loop.
    """

    def __init__(self, render: Callable[[], Awaitable[Text]]) -> None:
        self._render = render
        self._server: asyncio.Server | None = None
        self._said: tuple[float, Text] | None = None
        self._rendering = asyncio.Lock()
        self._connections: dict[asyncio.StreamWriter, None] = {}

    async def listen(self, port: int) -> None:
        """Serve at *port*, and no longer at another one.

        Raises:
            PortError: it is taken, or the kernel refuses.
        """
        await self.close()
        try:
            self._server = await asyncio.start_server(self._serve, ADDRESS, port, limit=HEAD_SIZE)
        except OSError as exc:
            raise PortError(
                f"can't listen at {ADDRESS} port {port}: {exc.strerror or exc}",
                "free it, or name another one under metrics in the policy",
            ) from exc

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = None
        if len(self._connections) > MOST_AT_ONCE:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.transport.abort()
        try:
            await asyncio.wait_for(self._exchange(reader, writer), PATIENCE_S)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            LOGGER.debug("metrics port: a request that was none")
        except OSError as exc:
            LOGGER.debug("metrics port: %s", exc)
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        status, said = HTTPStatus.OK, None
        if method not in {"GET", "HEAD"}:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        elif path != PATH:
            status = HTTPStatus.NOT_FOUND
        else:
            try:
                said = await self._current()
            except EnforcerError as exc:
                status, said = HTTPStatus.SERVICE_UNAVAILABLE, Text(f"{exc}\n".encode(), PLAIN)
        said = said or Text(f"{status.phrase}: GET {PATH}\n".encode(), PLAIN)
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {said.kind}",
            f"Content-Length: {len(said.content)}",
            "Connection: close",
        )
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"))
        if method != "HEAD":
            writer.write(said.content)
        await writer.drain()
        with contextlib.suppress(OSError, NotImplementedError):
            writer.write_eof()

    async def _current(self) -> Text:
        loop = asyncio.get_running_loop()
        async with self._rendering:
            if self._said is None or loop.time() - self._said[0] > SAME_FOR_S:
                said = await self._render()
                self._said = loop.time(), said
            return self._said[1]
