"""Ways round, by the daemon's weakness: before it, without it, by what it can't bear."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connect, connected, listener
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

# A round of the daemon's look-around, and what a busy machine adds to it.
REPAIRED_WITHIN_S = 15
_ANSWERS = 2_000
_DENIALS = 3_000
_OTHER_ZONE = "other.lab.test"

# As many refused connections as the argument says, to ever other addresses.
_DENIED = """
import socket, sys
for number in range(int(sys.argv[1])):
    with socket.socket() as sock:
        try:
            sock.connect((f"198.19.{200 + number // 250}.{1 + number % 250}", 443))
        except ConnectionRefusedError:
            continue
        sys.exit("connected")
"""


def is_closed(lab: Lab) -> bool:
    """Tell whether all but what is permitted is refused, from the host and from a container."""
    return all(
        attempt(namespace, address).outcome == "ECONNREFUSED"
        for namespace in (lab.net.host, lab.net.container)
        for address in DENIED.addresses
    )


def learns(lab: Lab, label: str) -> bool:
    """Tell whether first connections to addresses never seen before work, of both families."""
    return all(
        connect_to_answers(lab.net.host, FRESH_ZONE, family=family, count=20, label=label).ok == 20
        for family in (4, 6)
    )


def is_open(lab: Lab) -> bool:
    """Tell whether anything works: without this a refusal means nothing."""
    return all(
        attempt(lab.net.host, address).outcome == "connected" for address in DENIED.addresses
    )


def _kill(enforcer: Enforcer) -> None:
    enforcer.kill()


def _hang(enforcer: Enforcer) -> None:
    enforcer.process.send_signal(signal.SIGSTOP)


def _restart(enforcer: Enforcer) -> None:
    enforcer.kill()
    enforcer.start()


@pytest.mark.parametrize("what", [_kill, _hang, _restart])
def test_a_daemon_that_is_not_there(
    lab: Lab, policy: str, what: Callable[[Enforcer], None]
) -> None:
    """Killed, hung, or started anew: the kernel goes on learning and denying."""
    assert is_open(lab)
    with running(lab.net, policy) as enforcer:
        what(enforcer)
        try:
            assert is_closed(lab)
            assert learns(lab, "after")
        finally:
            if enforcer.process.poll() is None:
                enforcer.process.send_signal(signal.SIGCONT)


def test_a_daemon_that_fails_to_come_back(lab: Lab, policy: str) -> None:
    """A policy that can't be read leaves closed what a killed daemon had closed."""
    assert is_open(lab)
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        enforcer.policy_file.write_text("hosts: [")
        assert (
            enforcer.cli("run", "--policy", str(enforcer.policy_file), check=False).returncode == 2
        )
        assert is_closed(lab)


@pytest.mark.parametrize(
    "damage",
    [
        ("nft", "delete", "table", "inet", "enforcer"),
        ("tc", "qdisc", "del", "dev", "eth0", "clsact"),
        ("tc", "qdisc", "del", "dev", "br-lab", "clsact"),
    ],
    ids=["table", "filters of the uplink", "filters of the bridge"],
)
def test_another_tool_that_deletes(lab: Lab, policy: str, damage: tuple[str, ...]) -> None:
    """Found and put back within seconds, and told meanwhile."""
    assert is_open(lab)
    with running(lab.net, policy) as enforcer:
        lab.net.host.run(*damage)

        def told() -> bool:
            # A look that is due anyway may be faster than whoever asks for the status.
            return "is put back" in enforcer.log or not enforcer.status()["healthy"]

        until(told, 2, "the damage to be told")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "the repair")
        assert is_closed(lab)
        assert learns(lab, "after")


@pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_connection_opened_before(lab: Lab, policy: str, origin: str, version: int) -> None:
    """It is judged when enforcement begins, like a new one."""
    lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    namespace = getattr(lab.net, origin)
    with connected(namespace, lab.net.world, DENIED.addresses[version], 9000) as (ours, theirs):
        ours.sendall(b"before")
        assert theirs.recv(100) == b"before"
        with running(lab.net, policy):
            with contextlib.suppress(OSError):
                ours.sendall(b"after")
            theirs.settimeout(0.5)
            with pytest.raises((TimeoutError, ConnectionResetError)):
                theirs.recv(100)


_HELPER = """
table ip lab_helper {
  counter related { }
  ct helper ftp { type "ftp" protocol tcp; }
  chain output {
    type filter hook output priority 0
    tcp dport 21 ct helper set "ftp"
    ct state related tcp flags syn counter name related
  }
}
"""


def test_a_connection_tracking_helper(lab: Lab) -> None:
    """What FTP's control connection announces is RELATED, and not permitted for that.

    The server of a permitted name names a port of its own; the helper of connection
    tracking, which an administrator set up for others, expects the connection.
    """
    lab.net.host.nft(_HELPER)
    address, port = ALLOWED.addresses[0], 2000
    announced = (
        f"227 Entering Passive Mode ({address.replace('.', ',')},{port >> 8},{port & 255})\r\n"
    )

    def follows() -> str:
        with (
            listener(lab.net.world, address, port),
            connected(lab.net.host, lab.net.world, address, 21) as (ours, theirs),
        ):
            # The helper reads from the first whole line on.
            theirs.sendall(b"220 welcome\r\n")
            assert ours.recv(100)
            theirs.sendall(announced.encode())
            assert ours.recv(100) == announced.encode()
            return connect(lab.net.host, address, port)

    assert follows() == "connected"
    listed = lab.net.host.run("nft", "list", "counter", "ip", "lab_helper", "related").stdout
    assert "packets 1 " in listed, "the helper expected nothing"
    policy = "version: 1\norganization: lab\nhosts: ['registry.allowed.test:21']\n"
    with running(lab.net, policy):
        assert follows() == "ECONNREFUSED"


@pytest.fixture
def flooded(lab: Lab, policy: str) -> Iterator[Lab]:
    """Return a lab with a daemon and a zone of names that nobody permitted."""
    lab.nameserver.fresh(_OTHER_ZONE)
    assert is_open(lab)
    with running(lab.net, policy):
        yield lab


def test_a_flood_of_answers(flooded: Lab) -> None:
    """Those of other names cost nothing that a permitted one needs."""
    host = flooded.net.host
    flood = threading.Thread(
        target=lambda: connect_to_answers(host, _OTHER_ZONE, family=4, count=_ANSWERS)
    )
    flood.start()
    try:
        assert learns(flooded, "during")
    finally:
        flood.join()
    assert is_closed(flooded)


def test_a_flood_of_permitted_names(flooded: Lab) -> None:
    """A wildcard's names are anybody's to make up; each new one still works at once."""
    made = connect_to_answers(flooded.net.host, FRESH_ZONE, family=4, count=_ANSWERS, label="flood")
    assert made.ok == _ANSWERS
    assert is_closed(flooded)


def test_a_flood_of_denials(flooded: Lab) -> None:
    """Refusing takes nothing from what is permitted."""
    host = flooded.net.host
    flood = threading.Thread(
        target=lambda: host.run(sys.executable, "-c", _DENIED, str(_DENIALS), timeout_s=100)
    )
    flood.start()
    try:
        assert learns(flooded, "during")
    finally:
        flood.join()
    assert is_closed(flooded)


def test_a_socket_that_was_open_before_it_was_used(lab: Lab, policy: str) -> None:
    """Made before the daemon and connected after it: the connection is what is judged."""
    sock = lab.net.host.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    with sock, running(lab.net, policy), pytest.raises(ConnectionRefusedError):
        sock.connect((DENIED.addresses[0], 443))
