"""The control socket: HTTP over a Unix socket, server and client."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, UnixConnector, web
from aiohttp.client_exceptions import ClientConnectorError, ClientError

from enforcer.errors import EnforcerError, NotRunning

# Takes the query of the request, returns what becomes JSON.
Handler = Callable[[Mapping[str, str]], Awaitable[object]]

# A reload of a large policy may resolve thousands of names.
TIMEOUT_S = 120.0
FAILED = 500


class Refused(EnforcerError):
    """The daemon could not do what was asked; carries its exit code."""

    def __init__(self, message: str, hint: str | None, exit_code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


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
        """Listen. The socket is never visible with a wider mode than 0600."""
        self._path.unlink(missing_ok=True)
        await self._runner.setup()
        before = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, os.fspath(self._path)).start()
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Finish the requests under way and stop listening."""
        await self._runner.cleanup()


def request(method: str, path: Path, target: str) -> Any:
    """Send one request to the daemon that listens at *path* and return its JSON answer.

    Raises:
        NotRunning: nobody listens there.
        EnforcerError: the caller may not connect, or the daemon refused.
    """
    return asyncio.run(_request(method, path, target))


async def _request(method: str, path: Path, target: str) -> Any:
    try:
        async with (
            ClientSession(
                connector=UnixConnector(os.fspath(path)), timeout=ClientTimeout(TIMEOUT_S)
            ) as session,
            session.request(method, f"http://enforcer{target}") as response,
        ):
            if response.status >= FAILED:
                raise Refused("the daemon failed to answer", "see its log", 1)
            body = await response.json()
    except asyncio.TimeoutError as exc:
        raise Refused(f"the daemon did not answer in {TIMEOUT_S:.0f} s", "see its log", 1) from exc
    except ClientConnectorError as exc:
        if isinstance(exc.os_error, PermissionError):
            raise Refused(f'only root may talk to "{path}"', "use sudo", 1) from exc
        raise NotRunning(
            f'no enforcer listens at "{path}"', hint="start it: systemctl start enforcer"
        ) from exc
    except ClientError as exc:
        raise Refused(f"the daemon broke off: {exc}", "see its log", 1) from exc
    if not response.ok:
        raise Refused(body["error"], body["hint"], body["exit_code"])
    return body


def _route(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def route(request: web.Request) -> web.Response:
        try:
            body = await handler(request.query)
        except EnforcerError as exc:
            failure = {"error": exc.message, "hint": exc.hint, "exit_code": exc.exit_code}
            return web.json_response(failure, status=409)
        return web.json_response(body, dumps=json.dumps)

    return route
