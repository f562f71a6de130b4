"""The script that connects to addresses in a row and times each attempt."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import json
import socket
import sys
import time
from collections import Counter

TIMEOUT_S = 3.0


def main() -> None:
    """Connect as the arguments say; print the outcomes and the seconds of each attempt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", help="the address to begin with")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--port", type=int, default=443)
    options = parser.parse_args()
    first = ipaddress.ip_address(options.first)
    family = socket.AF_INET if first.version == 4 else socket.AF_INET6
    outcomes: Counter[str] = Counter()
    elapsed_s = []
    for number in range(options.count):
        target = (str(first + number), options.port)
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT_S)
            start = time.perf_counter()
            try:
                sock.connect(target)
                outcome = "connected"
            except OSError as exc:
                outcome = errno.errorcode.get(exc.errno or 0, "ETIMEDOUT")
            elapsed_s.append(time.perf_counter() - start)
        outcomes[outcome] += 1
    json.dump({"outcomes": outcomes, "elapsed_s": elapsed_s}, sys.stdout)


if __name__ == "__main__":
    main()
