"""The script that asks names and does nothing with the answers: a load of DNS.

With a rate it asks that many names a second; without, the next one as soon as the
last one was answered.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import time

from tests.lab.client import query

ANSWER_TIMEOUT_S = 2.0
TYPES = {4: 1, 6: 28}  # A, AAAA


def main() -> None:
    """Ask as the arguments say; print how many were asked and answered in how many seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("resolver")
    parser.add_argument("zone")
    parser.add_argument("--label", default="n")
    parser.add_argument("--count", type=int, help="how many; until killed if not given")
    parser.add_argument("--rate", type=float, help="queries a second")
    parser.add_argument("--family", type=int, choices=tuple(TYPES), default=4)
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.resolver else socket.AF_INET
    answered = 0
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWER_TIMEOUT_S)
        sock.connect((options.resolver, 53))
        # For who waits for the load to begin; the last line is for who wants the result.
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        start, number = time.perf_counter(), -1
        for number in itertools.takewhile(lambda n: n != options.count, itertools.count()):
            if options.rate:
                time.sleep(max(0.0, start + number / options.rate - time.perf_counter()))
            name = f"{options.label}{number}.{options.zone}"
            sock.send(query(number & 0xFFFF, name, TYPES[options.family]))
            try:
                sock.recv(4096)
                answered += 1
            except TimeoutError:
                continue
        elapsed_s = time.perf_counter() - start
    json.dump({"asked": number + 1, "answered": answered, "elapsed_s": elapsed_s}, sys.stdout)


if __name__ == "__main__":
    main()
