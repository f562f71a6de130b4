"""Who was denied what is told: by `enforcer denials`, and in the daemon's log."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.connect import attempt, attempts
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import DENIED
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
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_denied_attempt_of_the_machine_is_told(
    shared_lab: Lab, enforcer: Enforcer, address: str, protocol: str
) -> None:
    """With its destination, its user and the words that people know."""
    port = {"tcp": 5001, "udp": 5002}[protocol]
    attempt(shared_lab.net.host, address, port, protocol=protocol)
    (denial,) = (each for each in told(enforcer, address) if each["protocol"] == protocol)
    assert (denial["port"], denial["uid"], denial["source"]) == (port, 0, None)
    assert denial["process"] == Path(sys.executable).name
    assert denial["executable"] == str(Path(sys.executable).resolve())
    words = f"registry access to {address} is not allowed by lab's policy: "
    assert denial["text"].startswith(words)
    assert words in enforcer.log


@pytest.mark.parametrize("where", ["host", "container"])
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


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_denied_attempt_of_a_container_is_told(
    shared_lab: Lab, enforcer: Enforcer, address: str
) -> None:
    """With its address and the bridge it is behind."""
    attempt(shared_lab.net.container, address, 5003)
    (denial,) = (each for each in told(enforcer, address) if each["port"] == 5003)
    assert denial["source"] in {"172.30.0.2", "fd30::2"}
    assert denial["interface"] == BRIDGE
    assert denial["executable"] == str(Path(sys.executable).resolve())
