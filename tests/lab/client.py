"""Connecting to addresses the moment their DNS answers arrive, many times over.

Also the script that does it inside a namespace: standard library only, and next to
nothing between receiving the answer and connect(), so about as fast as a C program.
Each name is asked once, over UDP or TCP, from the first resolver of /etc/resolv.conf; each
answer has one address.
"""

from __future__ import annotations

import argparse
import errno
import json
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

_FAMILIES = {4: (socket.AF_INET, 1, 4), 6: (socket.AF_INET6, 28, 16)}  # type of record, size
_ANSWER_TIMEOUT_S = 5
_CONNECT_TIMEOUT_S = 4
# The first retransmission of a SYN comes after 1 s (RFC 6298 section 2.1).
_LATE_S = 0.9
_RUN_TIMEOUT_S = 110


@dataclass(frozen=True)
class Connections:
    """What came of the connections.

    Attributes:
        ok: made at once.
        late: made, but only by a repeated SYN.
        lost: not made within the client's patience.
        unanswered: queries without an answer.
        connect_s: from the answer to the connection, for each that was made.
        total_s: from the query to the connection, for each that was made.
    """

    ok: int
    refused: int
    late: int
    lost: int
    unanswered: int
    connect_s: tuple[float, ...]
    total_s: tuple[float, ...]


def connect_to_answers(
    namespace: Namespace,
    zone: str,
    *,
    family: int,
    count: int,
    port: int = 443,
    label: str = "n",
    over: str = "udp",
) -> Connections:
    """Ask *count* names below *zone* inside *namespace*, connecting to each at once."""
    from tests.lab.tier import refusals  # noqa: PLC0415 - the script must do without

    options = (
        f"--refused={','.join(refusals())}",
        f"--family={family}",
        f"--count={count}",
        f"--port={port}",
        f"--label={label}",
        f"--over={over}",
    )
    done = namespace.run(sys.executable, __file__, zone, *options, timeout_s=_RUN_TIMEOUT_S)
    return Connections(**json.loads(done.stdout))


def query(number: int, name: str, kind: int) -> bytes:
    """Return the DNS query for *name* with *number* as its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack("!BHH", 0, kind, 1)
    )


def main() -> None:
    """Resolve and connect as often as the arguments say; print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("zone")
    parser.add_argument("--family", type=int, choices=tuple(_FAMILIES), default=4)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--label", default="n", help="first letters of each name")
    parser.add_argument("--refused", default="ECONNREFUSED", help="errors of what is refused")
    parser.add_argument("--over", choices=("udp", "tcp"), default="udp")
    options = parser.parse_args()

    lines = Path("/etc/resolv.conf").read_text().splitlines()
    resolver = next(line.split()[1] for line in lines if line.startswith("nameserver"))
    resolver_family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    family, kind, size = _FAMILIES[options.family]
    over_tcp = options.over == "tcp"
    asking = socket.SOCK_STREAM if over_tcp else socket.SOCK_DGRAM
    result = dict.fromkeys(("ok", "refused", "late", "lost", "unanswered"), 0)
    connect_s, total_s = [], []
    port, clock, to_text = options.port, time.perf_counter, socket.inet_ntop
    for number in range(options.count):
        message = query(number & 0xFFFF, f"{options.label}{number}.{options.zone}", kind)
        if over_tcp:
            message = len(message).to_bytes(2, "big") + message
        with (
            socket.socket(resolver_family, asking) as dns,
            socket.socket(family, socket.SOCK_STREAM) as tcp,
        ):
            dns.settimeout(_ANSWER_TIMEOUT_S)
            tcp.settimeout(_CONNECT_TIMEOUT_S)
            dns.connect((resolver, 53))
            asked = clock()
            dns.send(message)
            try:
                answer = dns.recv(512)
                answered = clock()
                tcp.connect((to_text(family, answer[-size:]), port))
            except TimeoutError:
                result["lost" if tcp.getsockname()[1] else "unanswered"] += 1
            except OSError as exc:
                if errno.errorcode.get(exc.errno or 0) not in options.refused.split(","):
                    raise
                result["refused"] += 1
            else:
                connected = clock()
                result["late" if connected - answered > _LATE_S else "ok"] += 1
                connect_s.append(connected - answered)
                total_s.append(connected - asked)
    made = Connections(**result, connect_s=tuple(connect_s), total_s=tuple(total_s))
    json.dump(asdict(made), sys.stdout)


if __name__ == "__main__":
    main()
