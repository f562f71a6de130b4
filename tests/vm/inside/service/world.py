"""What is around the machine: a network that answers everything, and one who tries all the time.

Standard library only: the machine has what the package needs, and nothing of the tests.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

GATEWAY, MACHINE = "10.77.0.1", "10.77.0.2"
DENIED, PERMITTED, NAMED = "198.18.0.1", "198.18.1.1", "198.18.2.1"
NAME = "registry.allowed.test"
PORT = 443
TRIED = Path("/var/lib/scenario/tried")
PAUSE_S = 0.2
_ANSWER_TTL_S = 60


def build() -> None:
    """Make the network and the machine's way to it."""
    for line in (
        "ip netns add world",
        "ip link add uplink type veth peer name wire netns world",
        "ip -n world link set lo up",
        f"ip -n world address add {GATEWAY}/24 dev wire",
        "ip -n world link set wire up",
        "ip -n world route add local 198.18.0.0/15 dev lo",
        f"ip address add {MACHINE}/24 dev uplink",
        "ip link set uplink up",
        f"ip route add default via {GATEWAY}",
    ):
        subprocess.run(line.split(), check=True)


def serve() -> None:
    """Accept every connection, and answer every question with the one address."""
    listener = socket.create_server(("0.0.0.0", PORT), backlog=128)
    questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    questions.bind((GATEWAY, 53))
    while True:
        for ready in select.select([listener, questions], [], [])[0]:
            if ready is listener:
                listener.accept()[0].close()
            else:
                message, sender = questions.recvfrom(4096)
                questions.sendto(_answer(message), sender)


def _answer(message: bytes) -> bytes:
    end = message.index(b"\0", 12) + 5  # the name, its type and class
    question = message[12:end]
    wants_a = question[-4:-2] == b"\0\1"
    head = message[:2] + b"\x81\x80\0\1" + (b"\0\1" if wants_a else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1" + _ANSWER_TTL_S.to_bytes(4, "big") + b"\0\4"
    return head + question + (record + socket.inet_aton(NAMED) if wants_a else b"")


def connects(address: str, timeout_s: float = 5.0) -> bool:
    """Tell whether a connection to *address* opens."""
    try:
        socket.create_connection((address, PORT), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def probe() -> None:
    """Try to reach what is denied, again and again; keep a line for each change of the outcome.

    The last line also has how often it was tried until then, once a second.
    """
    begun = time.monotonic()
    tried = opened = 0
    written = 0.0
    was: bool | None = None
    with TRIED.open("a", encoding="utf-8") as file:
        while True:
            is_open = connects(DENIED, timeout_s=1)
            tried += 1
            opened += is_open
            now = time.monotonic()
            if is_open != was or now - written > 1:
                line = {"boot": boot(), "since": begun, "at": now, "tried": tried, "open": opened}
                file.write(json.dumps(line) + "\n")
                file.flush()
                was, written = is_open, now
            time.sleep(PAUSE_S)


def boot() -> str:
    """Return which boot this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def main() -> None:
    """Be the network, then the one who tries."""
    if sys.argv[1:] == ["serve"]:
        serve()
    build()
    here = (sys.executable, "-m", __spec__.name)
    subprocess.Popen(("ip", "netns", "exec", "world", *here, "serve"))
    threading.Thread(target=probe, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
