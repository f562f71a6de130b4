"""Ways round, by sockets that may more than a user's: container's root is handed one, say."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.lab.asking import ask
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.forge import forge_datagram
from tests.lab.lab import Lab
from tests.lab.messages import answer, family, question
from tests.lab.registry import ALLOWED
from tests.lab.threats import Labs, both_families, reaches
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

HOST = ("10.77.0.2", "fd77::2")
TRANSPARENT = (socket.IPPROTO_IP, 19)  # linux/in.h; the socket module has it from Python 3.15 on
CLOSED_WITHIN_S = 90  # a first segment opens what it goes to for a minute

# A socket whose first segment is lost on the loopback, and what its mark is, as any user may read.
STUCK = """
import socket, struct, sys, time
own, permitted, evil = sys.argv[1:]
def stuck(to):
    sock = socket.socket()
    sock.bind((own, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 127)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    sock.setblocking(False)
    try: sock.connect((to, 443))
    except BlockingIOError: return sock
def mark(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
def is_under_way(sock):
    # linux/tcp.h: tcpi_state, TCP_SYN_SENT, and tcpi_retransmits
    found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    state, _, again = struct.unpack("BBB5x", found)
    return state == 2 and again < 2
"""
GIVEN = """
nonce = mark(stuck(permitted))
sock = stuck(evil)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, nonce)
while is_under_way(sock): time.sleep(0.01)
print(nonce)
"""
KNOCKING = """
sock = stuck(evil)
assert mark(sock)
print("knocking", flush=True)
while mark(sock): time.sleep(0.01)
print("no longer", flush=True)
time.sleep(1000)
"""


def test_an_answer_of_a_socket_that_may_have_any_address(labs: Labs, name: str) -> None:
    """On the loopback, in the name of a resolver that is elsewhere."""
    resolver, evil = RESOLVERS[0], "198.18.137.1"
    asked = question(name, evil)

    def gets_out(lab: Lab) -> bool:
        def exchange() -> None:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
            ):
                forger.setsockopt(*TRANSPARENT, 1)
                forger.bind((resolver, 53))
                client.bind(("127.0.0.1", 0))
                client.settimeout(2)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                client.sendto(asked.to_wire(), (resolver, 53))
                forger.sendto(answer(asked, name, evil).to_wire(), client.getsockname())
                assert client.recv(512)

        lab.net.host.call(exchange)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


def test_a_mark_that_is_given_to_what_is_sent_again(labs: Labs) -> None:
    """Whoever has CAP_NET_RAW for a socket may, between its first segment and the next."""
    evil = "198.18.137.2"

    def gets_out(lab: Lab) -> bool:
        ask(lab.net.host, RESOLVERS[0], ALLOWED.name)
        script = (sys.executable, "-c", STUCK + GIVEN, HOST[0], ALLOWED.addresses[0], evil)
        nonce = int(lab.net.host.run(*script).stdout)
        assert (nonce != 0) is (lab is labs.closed)
        return attempt(lab.net.host, evil).outcome == "connected"

    labs.refute(gets_out)


@both_families
def test_an_answer_in_the_name_of_a_resolver_to_what_a_cache_asked(
    labs: Labs, version: int
) -> None:
    """A container guesses its id; which port it asked from is for anybody to read."""
    own, resolver = HOST[version], RESOLVERS[version]

    def gets_in(lab: Lab) -> bool:
        lab.net.host.sysctl("net.ipv4.conf.all.rp_filter=2", "net.ipv4.conf.br-lab.rp_filter=2")
        with lab.net.host.call(lambda: socket.socket(family(own), socket.SOCK_DGRAM)) as cache:
            cache.bind((own, 0))
            cache.settimeout(2)
            port = cache.getsockname()[1]
            for sender in (lab.net.container, lab.net.world):
                forge_datagram(sender, (resolver, 53), (own, port), sender.name.encode())
            return cache.recv(512) == lab.net.container.name.encode()

    labs.refute(gets_in)


def test_a_segment_that_is_sent_again_opens_nothing_that_is_learned_no_more(
    lab: Lab, policy: str
) -> None:
    """One that nobody answers went on for hours, and opened its address for everybody."""
    name = f"short.{FRESH_ZONE}"
    lab.nameserver.add(name, evil := "198.18.137.2", ttl_s=1)
    script = (sys.executable, "-c", STUCK + KNOCKING, HOST[0], evil, evil)
    with running(lab.net, f"{policy}dns: {{min_ttl: 1, grace: 0}}\n"):
        ask(lab.net.host, RESOLVERS[0], name)
        with lab.net.host.popen(*script, stdout=subprocess.PIPE) as knocking:
            try:
                assert knocking.stdout is not None
                assert [next(knocking.stdout) for _ in "ab"] == ["knocking\n", "no longer\n"]
                until(
                    lambda: attempt(lab.net.host, evil).outcome == "ECONNREFUSED",
                    CLOSED_WITHIN_S,
                    "the address to be closed",
                )
            finally:
                knocking.kill()
