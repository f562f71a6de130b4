"""The control socket's server: HTTP over a Unix socket, one thread a request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.server
import json
import os
import select
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from enforcer.edge.scheduling import ordinary  # noqa: TID251 - of the threads here
from enforcer.errors import EnforcerError
from enforcer.log import LOGGER

# Takes the query of the request, returns what becomes JSON, or a Text.
Handler = Callable[[Mapping[str, str]], Awaitable[object]]
# Calls a handler on the event loop.
Call = Callable[[Handler, Mapping[str, str]], Future[object]]

# More than this many at once wait for their turn: status is asked for by people and monitors.
THREADS = 4
# Who says nothing for so long is hung up on.
SILENCE_S = 10.0
AGAIN_AFTER_S = 1.0
HINTS = {errno.ENOSPC: "make room on its file system", errno.EACCES: "run as root"}


class ControlError(EnforcerError):
    """The control socket can't be opened."""


@dataclass(frozen=True)
class Text:
    """An answer that is no JSON.

    Attributes:
        kind: its Content-Type.
    """

    content: bytes
    kind: str


class Server:
    """Serve *reads* (GET) and *changes* (POST), a path each, to root alone."""

    def __init__(
        self, path: Path, reads: Mapping[str, Handler], changes: Mapping[str, Handler]
    ) -> None:
        self._path = path
        self._routes = {"GET": reads, "POST": changes}
        self._executor = ThreadPoolExecutor(THREADS, "control", initializer=ordinary)
        self._socket: socket.socket | None = None
        self._bound: os.stat_result | None = None
        self._connections: set[socket.socket] = set()
        self._accepting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. The socket is never visible with a wider mode than 0600.

        Called again, it listens at another socket of the same path: nobody can find
        the one before.

        Raises:
            ControlError: the path can't be listened at.
        """
        before = os.umask(0o177)
        try:
            listening = self._listening()
        except OSError as exc:
            hint = HINTS.get(exc.errno or 0, "name a shorter --runtime-dir")
            raise ControlError(f'can\'t listen at "{self._path}": {exc}', hint) from exc
        finally:
            os.umask(before)
        listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        await self._hang_up()
        self._socket = listening
        self._accepting = asyncio.ensure_future(self._accept(listening))

    def _listening(self) -> socket.socket:
        with contextlib.ExitStack() as unless_it_works:
            listening = unless_it_works.enter_context(socket.socket(socket.AF_UNIX))
            self._path.unlink(missing_ok=True)
            listening.bind(os.fspath(self._path))
            listening.listen()
            self._bound = self._path.lstat()
            unless_it_works.pop_all()
            return listening

    @property
    def reachable(self) -> bool:
        """Whether the path is that of the socket listened at."""
        try:
            return self._bound is not None and os.path.samestat(self._bound, self._path.lstat())
        except OSError:
            return False

    async def stop(self) -> None:
        """Finish the requests under way and stop listening."""
        await self._hang_up()
        # Copied: those who serve them let go of theirs meanwhile.
        for connection in tuple(self._connections):
            # Who has not asked yet finds the end; answers still go out.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        await asyncio.to_thread(self._executor.shutdown)

    async def _hang_up(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        async def handled(handler: Handler, query: Mapping[str, str]) -> object:
            return await handler(query)

        def call(handler: Handler, query: Mapping[str, str]) -> Future[object]:
            return asyncio.run_coroutine_threadsafe(handled(handler, query), loop)

        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as exc:  # no descriptor left, say
                LOGGER.warning("control socket: %s", exc)
                await asyncio.sleep(AGAIN_AFTER_S)
                continue
            self._connections.add(connection)
            loop.run_in_executor(self._executor, self._serve, connection, call)

    def _serve(self, connection: socket.socket, call: Call) -> None:
        connection.settimeout(SILENCE_S)
        try:
            _Request(connection, self._routes, call)
        except OSError as exc:
            LOGGER.debug("control socket: %s", exc)  # the other end is gone: nobody to tell
        finally:
            self._connections.discard(connection)
            connection.close()


class _Request(http.server.BaseHTTPRequestHandler):
    """One request, from its first line to the answer."""

    def __init__(
        self,
        connection: socket.socket,
        routes: Mapping[str, Mapping[str, Handler]],
        call: Call,
    ) -> None:
        self._routes = routes
        self._call = call
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # no server is used

    def do_GET(self) -> None:
        """Answer a read."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a change, unless the client has given it up: to him it has failed."""
        if not self._hung_up():
            self._answer("POST")

    def _hung_up(self) -> bool:
        look = select.poll()
        look.register(self.connection, select.POLLRDHUP)
        return bool(look.poll(0))

    def _answer(self, method: str) -> None:
        target = urlsplit(self.path)
        handler = self._routes[method].get(target.path)
        if handler is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        called = self._call(handler, dict(parse_qsl(target.query)))
        error = called.exception()
        if error is None:
            self._reply(HTTPStatus.OK, called.result())
        elif isinstance(error, EnforcerError):
            said = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            self._reply(HTTPStatus.CONFLICT, said)
        else:  # a mistake of ours ends this request, and no more
            LOGGER.error("%s %s failed", method, target.path, exc_info=error)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _reply(self, status: HTTPStatus, body: object) -> None:
        if not isinstance(body, Text):
            body = Text(json.dumps(body).encode(), "application/json")
        self.send_response(status)
        self.send_header("Content-Type", body.kind)
        self.send_header("Content-Length", str(len(body.content)))
        self.end_headers()
        self.wfile.write(body.content)

    def log_message(self, _format: str, *_arguments: object) -> None:
        """Log nothing: systemd's journal is no access log."""
