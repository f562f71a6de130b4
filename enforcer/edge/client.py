"""The control socket's client: one HTTP request over a Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

from enforcer.errors import EnforcerError, NotRunning

# A reload of a large policy takes seconds, and waits for one that runs already.
TIMEOUT_S = 120.0


class Refused(EnforcerError):
    """The daemon could not do what was asked; carries its exit code."""

    def __init__(self, message: str, hint: str | None, exit_code: int = 1) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("enforcer", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def request(method: str, path: Path, target: str) -> Any:
    """Send one request to the daemon that listens at *path* and return its JSON answer.

    Raises:
        NotRunning: nobody listens there.
        Refused: the caller may not connect, or the daemon said no.
    """
    connection = _UnixConnection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    except PermissionError as exc:
        raise Refused(f'only root may talk to "{path}"', "use sudo") from exc
    except TimeoutError as exc:
        raise Refused(f"the daemon did not answer in {TIMEOUT_S:.0f} s", "see its log") from exc
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as exc:
        hint = "start it: systemctl start enforcer"
        raise NotRunning(f'no enforcer listens at "{path}"', hint) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise Refused(f'"{path}": {exc}', "see the daemon's log") from exc
    finally:
        connection.close()
    if response.status == HTTPStatus.OK:
        return json.loads(body)
    if response.status == HTTPStatus.CONFLICT:
        raise Refused(**json.loads(body))
    raise Refused(f"the daemon failed to answer ({response.status})", "see its log")
