"""Ways round, by the daemon's weakness: before it, without it, by what it can't bear."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Callable

import pytest

from enforcer.core.interfaces import Program
from enforcer.edge.filters import HOOKS
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.counting import counter
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connected
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.tier import refused
from tests.lab.topology import BRIDGE, UPLINK
from tests.lab.wait import until

pytestmark = pytest.mark.root

# A round of the daemon's look-around, and what a busy machine adds to it.
REPAIRED_WITHIN_S = 15


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
        assert "is put back" in enforcer.log
        assert enforcer.status()["repaired"]
        assert is_closed(lab)
        assert learns(lab, "after")


@pytest.mark.parametrize("interface", [UPLINK, BRIDGE])
def test_another_tool_that_swaps_a_program(lab: Lab, policy: str, interface: str) -> None:
    """Another program under the name, handle and priority of our filter: ours comes back."""
    ours = Program.DNS_ANSWER if interface == UPLINK else Program.FORWARD_MARK
    hook, handle = HOOKS[ours]
    host = lab.net.host

    def places() -> list[tuple[int, str]]:
        """Return priority and program of what runs there."""
        listed = host.run("tc", "-j", "filter", "show", "dev", interface, "ingress").stdout
        return [
            (each["pref"], each["options"]["prog"]["id"])
            for each in json.loads(listed)
            if "options" in each
        ]

    with running(lab.net, policy) as enforcer, counter(ours.value) as stranger:
        [before] = places()
        stranger.replace(host, interface, hook, (handle, before[0], f"enforcer/{ours.value}"))
        until(lambda: places() == [before], REPAIRED_WITHIN_S, "our program to come back")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")
        told = [each["text"] for each in enforcer.status()["repaired"]]
        assert told == [f"{ours.value} was taken off {interface}"]
        assert is_closed(lab)
        assert learns(lab, "after")


@pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
@pytest.mark.parametrize(
    "origin", ["host", pytest.param("container", marks=pytest.mark.needs("ct"))]
)
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


def test_a_socket_that_was_open_before_it_was_used(lab: Lab, policy: str) -> None:
    """Made before the daemon and connected after it: the connection is what is judged."""
    sock = lab.net.host.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    sock.settimeout(2)
    with sock, running(lab.net, policy), pytest.raises(refused()):
        sock.connect((DENIED.addresses[0], 443))
