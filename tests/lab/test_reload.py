"""What a reload takes away stays away."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.wait import until

pytestmark = pytest.mark.root

WITHOUT_ZONE = "version: 1\norganization: lab\nhosts:\n  - registry.allowed.test\n"
NOBODY = 65534
# Arguments: an address. Says when it has begun to connect, and ends when told to.
_KEEP_TRYING = """
import socket, sys
sock = socket.socket()
sock.setblocking(False)
try:
    sock.connect((sys.argv[1], 443))
except BlockingIOError:
    print("trying", flush=True)
sys.stdin.read()
"""


def test_a_socket_that_still_connects_opens_nothing_again(lab: Lab) -> None:
    """Each SYN it sent again bore the mark that opens an address for all, and for a minute."""
    host = lab.net.host
    with running(lab.net, POLICY) as enforcer:
        name = f"silent.{FRESH_ZONE}"
        address = host.run("getent", "ahostsv4", name).stdout.split()[0]
        lab.net.world.nft(
            "table inet lab_silent {\nchain input {\ntype filter hook input priority 0\n"
            f"ip daddr {address} counter drop\n}}\n}}\n"
        )
        trying = subprocess.Popen(
            host.command(sys.executable, "-c", _KEEP_TRYING, address, user=NOBODY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with trying:
            assert trying.stdout is not None
            assert trying.stdout.readline() == "trying\n"
            enforcer.reload(WITHOUT_ZONE)
            # Refused, or sent and dropped: either way it has tried again by then.
            until(
                lambda: bool(enforcer.status()["denied"]["total"]) or syns(lab) > 1,
                10,
                "another SYN",
            )
            listing = host.run("nft", "list", "set", "inet", "enforcer", "allow4").stdout
            assert address not in listing


def syns(lab: Lab) -> int:
    """Return how many packets the silent address has dropped."""
    listing = lab.net.world.run("nft", "list", "table", "inet", "lab_silent").stdout
    words = listing.split()
    return int(words[words.index("packets") + 1])
