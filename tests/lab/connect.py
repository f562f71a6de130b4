"""Connecting by name or address inside a namespace, and saying exactly what came of it.

Also the script that does it there: standard library only.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

_TIMEOUT_S = 3


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt on one address.

    Attributes:
        outcome: ``connected``, ``sent`` (UDP that nothing objected to), or the name
            of the error, such as ``ECONNREFUSED`` or ``ETIMEDOUT``.
    """

    address: str
    outcome: str
    elapsed_s: float


def attempts(
    namespace: Namespace, host: str, port: int = 443, *, protocol: str = "tcp"
) -> tuple[Attempt, ...]:
    """Resolve *host* as programs in *namespace* do and try every address it has.

    Args:
        namespace: where.
        host: a name, or an address.
        port: destination port.
        protocol: ``tcp`` or ``udp``.

    Returns: one for each address; a single one without address if there is none. What the
        current tier refuses in its way (see `tier`) is ECONNREFUSED.
    """
    done = namespace.run(sys.executable, __file__, host, str(port), protocol)
    from tests.lab.tier import refusal  # noqa: PLC0415 - the script must do without

    made = (Attempt(**attempt) for attempt in json.loads(done.stdout))
    if protocol == "udp":
        return tuple(made)
    return tuple(replace(each, outcome=refusal(each.outcome)) for each in made)


def attempt(namespace: Namespace, host: str, port: int = 443, *, protocol: str = "tcp") -> Attempt:
    """Do as :func:`attempts` does for a *host* with one address."""
    (only,) = attempts(namespace, host, port, protocol=protocol)
    return only


def _try(family: int, kind: int, address: tuple[str, int]) -> str:
    with socket.socket(family, kind) as sock:
        sock.settimeout(_TIMEOUT_S)
        try:
            sock.connect(address)
            if kind == socket.SOCK_STREAM:
                return "connected"
            sock.send(b"hello")
            # A rejection comes back as an error of the next call on the socket.
            sock.settimeout(0.2)
            sock.recv(1)
        except BlockingIOError:
            return "sent"
        except TimeoutError:
            return "sent" if kind == socket.SOCK_DGRAM else "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
    return "connected"


def main(host: str, port: str, protocol: str) -> None:
    """Print the attempts as a JSON array."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
    results = []
    try:
        found = socket.getaddrinfo(host, int(port), type=kind)
    except socket.gaierror as error:
        results.append({"address": "", "outcome": str(error), "elapsed_s": 0.0})
        found = []
    for family, _, _, _, address in found:
        start = time.perf_counter()
        outcome = _try(family, kind, (str(address[0]), int(address[1])))
        elapsed_s = time.perf_counter() - start
        results.append({"address": str(address[0]), "outcome": outcome, "elapsed_s": elapsed_s})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
