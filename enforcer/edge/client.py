"""The control socket's client: one HTTP request over a Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

from enforcer.errors import EnforcerError, NotRunning

# A look at full sets takes seconds; a reload of a large policy too, and it waits
# for one that runs already.
TIMEOUT_S = {"GET": 10.0, "POST": 120.0}


class Refused(EnforcerError):
    """The daemon could not do what was asked; carries its exit code."""

    def __init__(self, message: str, hint: str | None, exit_code: int = 1) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class Silent(EnforcerError):
    """The daemon is there and does not answer."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("enforcer")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))


def request(method: str, path: Path, target: str, timeout_s: float | None = None) -> Any:
    """Send one request to the daemon that listens at *path* and return its JSON answer.

    Args:
        method: of HTTP.
        path: of the socket.
        target: of the request.
        timeout_s: what to wait at the most; None: what the method takes.

    Raises:
        NotRunning: nobody listens there.
        Silent: somebody does, and says nothing.
        Refused: the caller may not connect, or the daemon said no.
    """
    timeout_s = TIMEOUT_S[method] if timeout_s is None else timeout_s
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    except PermissionError as exc:
        raise Refused(f'only root may talk to "{path}"', "use sudo") from exc
    except TimeoutError as exc:
        text = f"the daemon did not answer within {timeout_s:.0f} s"
        raise Silent(text, "see its log; then: systemctl restart enforcer") from exc
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as exc:
        hint = "start it: systemctl start enforcer"
        raise NotRunning(f'no enforcer listens at "{path}"', hint) from exc
    except (ConnectionError, http.client.HTTPException) as exc:
        text = "the daemon ended before it answered; the kernel goes on as it was"
        raise Refused(text, "see its log, and enforcer status") from exc
    except OSError as exc:
        raise Refused(f'"{path}": {exc.strerror or exc}', "see the daemon's log") from exc
    finally:
        connection.close()
    if response.status == HTTPStatus.OK:
        return json.loads(body)
    if response.status == HTTPStatus.CONFLICT:
        raise Refused(**json.loads(body))
    raise Refused(f"the daemon failed to answer ({response.status})", "see its log")
