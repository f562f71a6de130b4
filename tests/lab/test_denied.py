"""What no permitted name was answered with is refused at once, in both families."""

from __future__ import annotations

import pytest

from tests.lab.connect import attempt, attempts
from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.patience import PATIENCE
from tests.lab.registry import ALLOWED, DENIED

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("enforcer")]

AT_ONCE_S = 0.1 * PATIENCE
RAW = ("198.18.66.1", "2001:db8::66:1")


@pytest.mark.parametrize("address", ALLOWED.addresses)
def test_addresses_of_a_permitted_name_are_reached(shared_lab: Lab, address: str) -> None:
    """A permitted host is open from the start, by each of its addresses."""
    assert attempt(shared_lab.net.host, address).outcome == "connected"


@pytest.mark.parametrize("address", [*RAW, *DENIED.addresses])
@pytest.mark.parametrize("where", ["host", "container"])
@pytest.mark.needs("reject")
def test_other_addresses_are_refused_at_once(shared_lab: Lab, where: str, address: str) -> None:
    """A bare address, or one of another name, is refused within a moment."""
    namespace: Namespace = getattr(shared_lab.net, where)
    shared_lab.sink.reset()
    denied = attempt(namespace, address)
    assert denied.outcome == "ECONNREFUSED"
    assert denied.elapsed_s < AT_ONCE_S
    assert shared_lab.sink.syns() == {}


def test_names_outside_the_policy_resolve_but_lead_nowhere(shared_lab: Lab) -> None:
    """DNS answers for other names open nothing."""
    outcomes = {a.address: a.outcome for a in attempts(shared_lab.net.host, DENIED.name)}
    assert outcomes == dict.fromkeys(DENIED.addresses, "ECONNREFUSED")


@pytest.mark.parametrize("address", ALLOWED.addresses)
@pytest.mark.parametrize(("port", "protocol"), [(8443, "tcp"), (443, "udp")])
def test_other_ports_and_protocols_of_a_permitted_address_are_refused(
    shared_lab: Lab, address: str, port: int, protocol: str
) -> None:
    """An open address is open for TCP on its port only."""
    denied = attempt(shared_lab.net.host, address, port, protocol=protocol)
    assert denied.outcome in {"ECONNREFUSED", "EPERM", "EACCES"}
    assert denied.elapsed_s < AT_ONCE_S


def test_a_hosts_file_entry_opens_nothing(shared_lab: Lab) -> None:
    """A permitted name pointed elsewhere by the hosts file is refused there."""
    hosts = shared_lab.net.host.hosts_file
    before = hosts.read_text()
    hosts.write_text(before + f"198.18.66.2 {ALLOWED.name}\n")
    try:
        denied = attempt(shared_lab.net.host, ALLOWED.name)
    finally:
        hosts.write_text(before)
    assert (denied.address, denied.outcome) == ("198.18.66.2", "ECONNREFUSED")


@pytest.mark.needs("counter")
def test_denials_are_counted(shared_lab: Lab, enforcer: Enforcer) -> None:
    """`enforcer status` counts what was denied."""
    before = enforcer.status()["denied"]["total"]
    attempt(shared_lab.net.host, RAW[0])
    assert enforcer.status()["denied"]["total"] > before
