"""Who was denied what is told: by `enforcer denials`, and in the daemon's log."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.core.denials import WINDOW_S
from enforcer.core.ruleset import DENIED_GROUP
from enforcer.edge.nflog import PacketLog
from tests.lab.connect import attempt, attempts
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import DENIED
from tests.lab.screen import on_a_terminal
from tests.lab.topology import BRIDGE
from tests.lab.wait import until

pytestmark = pytest.mark.root

TOLD_WITHIN_S = 5.0
ADDRESSES = ("198.18.66.11", "2001:db8::66:11")


def told(enforcer: Enforcer, address: str, *options: str) -> list[dict[str, Any]]:
    """Wait until what was denied of *address* is told; return its records."""

    def records() -> list[dict[str, Any]]:
        lines = enforcer.cli("denials", "--json", *options).stdout.splitlines()
        return [each for each in map(json.loads, lines) if each["address"] == address]

    return until(records, TOLD_WITHIN_S, f"a denial of {address}")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("protocol", ["tcp", pytest.param("udp", marks=pytest.mark.needs("log"))])
def test_a_denied_attempt_of_the_machine_is_told(
    shared_lab: Lab, enforcer: Enforcer, address: str, protocol: str
) -> None:
    """With its destination, its user and the words that people know.

    Of a datagram whose process has ended meanwhile nobody can say from which side it came: on a
    busy machine it may take another.
    """
    port, process = {"tcp": 5001, "udp": 5002}[protocol], Path(sys.executable).name

    def with_process() -> list[dict[str, Any]]:
        attempt(shared_lab.net.host, address, port, protocol=protocol)
        of_protocol = [each for each in told(enforcer, address) if each["protocol"] == protocol]
        return [each for each in of_protocol if each["process"] == process]

    denial = until(with_process, WINDOW_S, f"a denial of {process}")[0]
    assert (denial["port"], denial["uid"], denial["source"]) == (port, 0, None)
    words = f"registry access to {address} is not allowed by lab's policy: "
    assert denial["text"].startswith(words)
    assert words in enforcer.log


@pytest.mark.parametrize(
    "where", ["host", pytest.param("container", marks=pytest.mark.needs("log"))]
)
@pytest.mark.parametrize("number", [0, 1], ids=["ipv4", "ipv6"])
def test_a_name_that_is_not_permitted_is_told(
    lab: Lab, policy: str, where: str, number: int
) -> None:
    """Instead of its address: what people asked for, though nothing was opened for it."""
    address = DENIED.addresses[number]
    namespace: Namespace = getattr(lab.net, where)
    with running(lab.net, policy) as enforcer:
        attempts(namespace, DENIED.name)
        (denial,) = told(enforcer, address)
    assert denial["host"] == DENIED.name
    assert f"registry access to {DENIED.name} is not allowed by lab's policy" in enforcer.log


def test_a_permitted_name_is_told_on_a_port_that_is_not(
    shared_lab: Lab, enforcer: Enforcer, name: str
) -> None:
    """Its address is open on another one."""
    (denied,) = attempts(shared_lab.net.host, name, 8443)[:1]
    (denial,) = told(enforcer, denied.address)
    assert (denial["host"], denial["port"]) == (name, 8443)


@pytest.mark.needs("log")
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_denied_attempt_of_a_container_is_told(
    shared_lab: Lab, enforcer: Enforcer, address: str
) -> None:
    """With its address and the bridge it is behind."""
    attempt(shared_lab.net.container, address, 5003)
    (denial,) = (each for each in told(enforcer, address) if each["port"] == 5003)
    assert denial["source"] in {"172.30.0.2", "fd30::2"}
    assert denial["interface"] == BRIDGE
    assert denial["process"] == Path(sys.executable).name


def test_who_follows_hears_of_each_denial(shared_lab: Lab, enforcer: Enforcer) -> None:
    """What was before, and a line for each that begins while it goes on following."""
    attempt(shared_lab.net.host, "198.18.66.12", 5004)
    told(enforcer, "198.18.66.12")
    argv = enforcer.argv("denials", "--follow", "--json")
    with shared_lab.net.host.popen(*argv, stdout=subprocess.PIPE) as follower:
        try:
            assert follower.stdout is not None
            lines = map(json.loads, follower.stdout)
            assert any(each["address"] == "198.18.66.12" for each in lines)
            attempt(shared_lab.net.host, "198.18.66.13", 5004)
            assert any(each["address"] == "198.18.66.13" for each in lines)
        finally:
            follower.terminate()


def test_a_record_is_folded_to_the_terminal(shared_lab: Lab, enforcer: Enforcer) -> None:
    """However wide, up to what is read well; for what reads a pipe it is one line."""
    attempt(shared_lab.net.host, "198.18.66.21")
    told(enforcer, "198.18.66.21")
    for columns, wide in ((60, 60), (90, 90), (200, 100)):
        lines = on_a_terminal(shared_lab.net.host, *enforcer.argv("denials"), columns=columns)
        assert wide - 20 < max(map(len, lines)) <= wide
    piped = enforcer.cli("denials").stdout.splitlines()
    assert all("registry access to" in line for line in piped)


def test_what_repeats_is_one_record_and_told_again_with_its_count(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """In the log: when it begins, and when its ten seconds are over."""
    script = (
        "import socket\n"
        "for _ in range(7):\n"
        "    with socket.socket() as sock: sock.connect_ex(('198.18.66.14', 443))\n"
    )
    shared_lab.net.host.run(sys.executable, "-c", script)
    (denial,) = told(enforcer, "198.18.66.14")
    assert denial["count"] == 7
    (shown,) = (
        each for each in enforcer.status()["denied"]["recent"] if each["address"] == "198.18.66.14"
    )
    assert shown["number"] == denial["number"]
    until(lambda: ", 7 packets" in enforcer.log, 2 * WINDOW_S, "the end of the window")
    assert enforcer.log.count("registry access to 198.18.66.14 ") == 2


def test_an_earlier_denial_is_not_told_since(shared_lab: Lab, enforcer: Enforcer) -> None:
    """The reader chooses how far back; what is no time is a mistake of his."""
    attempt(shared_lab.net.host, "198.18.66.15", 443)
    told(enforcer, "198.18.66.15", "--since", "1h")
    shown = enforcer.cli("denials", "--since", "2999-01-01")
    assert shown.stdout == "nothing was denied\n"
    refused = enforcer.cli("denials", "--since", "soon", check=False)
    assert refused.returncode == 2
    assert '"soon" is no moment' in refused.stderr


def test_without_a_daemon_nobody_knows(lab: Lab, policy: str) -> None:
    """The exit status of all commands then, and what to do."""
    done = Enforcer(lab.net, policy).cli("denials", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no enforcer listens" in done.stderr


@pytest.mark.needs("reject", "log", "counter")
def test_another_listener_leaves_denials_counted(lab: Lab, policy: str) -> None:
    """A program that took the log's group before us: told as a problem, and nothing else."""
    other = lab.net.host.call(lambda: PacketLog(DENIED_GROUP))
    try:
        with running(lab.net, policy) as enforcer:
            assert attempt(lab.net.host, "198.18.66.16").outcome == "ECONNREFUSED"
            status = enforcer.status()
            assert (status["denied"]["total"], status["denied"]["recent"]) == (1, [])
            (problem,) = status["problems"]
            assert "what is denied is counted, not recorded" in problem["text"]
            assert f"nflog group {DENIED_GROUP}" in problem["hint"]
    finally:
        other.close()


def test_audit_mode_tells_what_would_be_denied(lab: Lab, policy: str) -> None:
    """And lets it through."""
    with running(lab.net, f"{policy}mode: audit\n") as enforcer:
        assert attempt(lab.net.host, "198.18.66.17").outcome == "connected"
        (denial,) = told(enforcer, "198.18.66.17")
        explained = enforcer.cli("explain", "198.18.66.17", check=False)
        enforcer.put_in_force(policy)
        assert attempt(lab.net.host, "198.18.66.17").outcome == "ECONNREFUSED"

        def modes() -> list[str]:
            return [each["mode"] for each in told(enforcer, "198.18.66.17")]

        until(lambda: modes() == ["audit", "enforce"], TOLD_WITHIN_S, "one of each")
    assert "would not be allowed by lab's policy" in denial["text"]
    assert explained.returncode == 1
    assert "the policy is in audit mode: what it does not allow passes" in explained.stdout


@pytest.mark.needs("log")
@pytest.mark.parametrize("number", [0, 1], ids=["ipv4", "ipv6"])
def test_an_ipv4_address_over_an_ipv6_socket_is_told_with_its_process(
    shared_lab: Lab, enforcer: Enforcer, number: int
) -> None:
    """As Java connects: the socket has a mapped address, the packet an IPv4 one."""
    address = ("198.18.66.18", "2001:db8::66:18")[number]
    target = address if ":" in address else f"::ffff:{address}"
    script = (
        "import signal, socket, sys\n"
        "with socket.socket(socket.AF_INET6) as sock: sock.connect_ex((sys.argv[1], 443))\n"
        "with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:\n"
        "    try: sock.sendto(b'x', (sys.argv[1], 444))\n"
        "    except OSError: pass\n"
        "signal.pause()\n"
    )

    def both() -> bool:
        return len(told(enforcer, address)) == 2

    # It stays: of a process that has ended nobody knows which side of the namespace it was on.
    with shared_lab.net.host.popen(sys.executable, "-c", script, target) as process:
        try:
            until(both, TOLD_WITHIN_S, "both denials")
            names = {each["process"] for each in told(enforcer, address)}
        finally:
            process.kill()
    assert names == {Path(sys.executable).name}


# Sends a datagram and stays.
_SENDER = """
import contextlib, os, signal, socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    with contextlib.suppress(OSError):
        sock.sendto(b"x", ("198.18.66.20", 443))
    print("sent", flush=True)
    signal.pause()
"""


@contextlib.contextmanager
def sender(namespace: Namespace) -> Iterator[int]:
    """Run a process that has sent until the block ends; yield its pid."""
    command = (sys.executable, "-c", _SENDER)
    with namespace.popen(*command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "sent\n"
            yield process.pid
        finally:
            process.kill()


@pytest.mark.needs("log")
def test_a_datagram_is_not_told_with_a_process_of_the_other_side(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """Datagrams are known by where they go: the last who sent there may be another container's.

    Without the look at its namespace, a container's second datagram was told with the process
    of the machine that had sent one in between.
    """
    net = shared_lab.net
    with sender(net.container) as inside, sender(net.host) as outside:

        def known() -> dict[bool, int | None]:
            records = told(enforcer, "198.18.66.20")
            executable = str(Path(sys.executable).resolve())
            assert {each["executable"] for each in records} == {executable}
            return {bool(each["source"]): each["pid"] for each in records}

        until(lambda: len(known()) == 2, TOLD_WITHIN_S, "both denials")
        assert known() == {True: inside, False: outside}
        # As the map has it now, a packet of the container comes from the machine's process.
        again = (
            "import socket; socket.socket(type=socket.SOCK_RAW, proto=17).sendto({!r}, ({!r}, 0))"
        )
        datagram = b"\x30\x39\x01\xbb\x00\x09\x00\x00x"
        net.container.run(sys.executable, "-c", again.format(datagram, "198.18.66.20"))

        def third() -> bool:
            return len(told(enforcer, "198.18.66.20")) == 3

        until(third, TOLD_WITHIN_S, "the third denial")
        pids = [each["pid"] for each in told(enforcer, "198.18.66.20") if each["source"]]
        assert pids == [inside, None]


def test_another_user_is_told(shared_lab: Lab, enforcer: Enforcer) -> None:
    """By the user who connected, not by whom the daemon runs as."""
    connect = "import socket; socket.socket().connect_ex(('198.18.66.19', 443))"
    shared_lab.net.host.run("/usr/bin/python3", "-c", connect, user=4242)
    (denial,) = told(enforcer, "198.18.66.19")
    assert (denial["uid"], denial["process"]) == (4242, "python3")
