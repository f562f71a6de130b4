"""Try whether hosts resolve, and accept a connection, from here and now."""

from __future__ import annotations

import enum
import socket
import threading
import time
from collections.abc import Sequence

# A resolver that has to ask others, and a handshake with another continent, take less.
PATIENCE_S = 4.0


class Outcome(enum.Enum):
    """What came of it, as one would say it."""

    ANSWERS = "answers"
    REFUSED = "refuses connections"
    SILENT = "does not answer"
    UNKNOWN = "does not resolve"


def reached(places: Sequence[tuple[str, int]]) -> tuple[Outcome, ...]:
    """Connect to each host and TCP port of *places*, all at once, and hang up."""
    found = [Outcome.SILENT] * len(places)

    def attempt(number: int) -> None:
        found[number] = _outcome(*places[number])

    # Nobody can end a lookup that hangs: it ends with the process.
    threads = [threading.Thread(target=attempt, args=(n,), daemon=True) for n in range(len(places))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return tuple(found)


def _outcome(host: str, port: int) -> Outcome:
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return Outcome.ANSWERS
    except socket.gaierror:
        return Outcome.UNKNOWN
    except TimeoutError:
        return Outcome.SILENT
    except OSError:
        return Outcome.REFUSED
