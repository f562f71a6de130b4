"""The control socket's server: HTTP over a Unix socket."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from enforcer.errors import EnforcerError

# Takes the query of the request, returns what becomes JSON.
Handler = Callable[[Mapping[str, str]], Awaitable[object]]


class ControlError(EnforcerError):
    """The control socket can't be opened."""


class Server:
    """Serve *reads* (GET) and *changes* (POST), a path each, to root alone."""

    def __init__(
        self, path: Path, reads: Mapping[str, Handler], changes: Mapping[str, Handler]
    ) -> None:
        self._path = path
        app = web.Application()
        app.add_routes([web.get(name, _route(handler)) for name, handler in reads.items()])
        app.add_routes([web.post(name, _route(handler)) for name, handler in changes.items()])
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen. The socket is never visible with a wider mode than 0600.

        Raises:
            ControlError: the path can't be listened at.
        """
        await self._runner.setup()
        before = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            await web.UnixSite(self._runner, os.fspath(self._path)).start()
        except OSError as exc:
            raise ControlError(
                f'can\'t listen at "{self._path}": {exc}', hint="name a shorter --runtime-dir"
            ) from exc
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Finish the requests under way and stop listening."""
        await self._runner.cleanup()


def _route(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def route(request: web.Request) -> web.Response:
        try:
            body = await handler(request.query)
        except EnforcerError as exc:
            failure = {"message": exc.message, "hint": exc.hint, "exit_code": exc.exit_code}
            return web.json_response(failure, status=HTTPStatus.CONFLICT)
        return web.json_response(body)

    return route
