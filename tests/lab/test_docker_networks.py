"""Containers on a user-defined network of a real dockerd, whose resolver is Docker's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enforcer.core.interfaces import Program
from tests.lab.client import Connections
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import attempt
from tests.lab.containers import Containers, containers
from tests.lab.daemon import running
from tests.lab.lab import Lab, new_lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.tier import refusal
from tests.lab.wait import until

pytestmark = pytest.mark.root

PORT = 8000


@pytest.fixture(scope="module")
def docker_lab() -> Iterator[Lab]:
    """Return a lab for all tests here: Docker's rules would disturb others."""
    with new_lab() as own:
        own.nameserver.fresh(FRESH_ZONE)
        yield own


@pytest.fixture(scope="module")
def network(docker_lab: Lab) -> Iterator[Containers]:
    """Return the containers, on the host of the lab."""
    with containers(docker_lab.net.host) as made:
        yield made


def outcomes(network: Containers, host: str, port: int = 443) -> dict[str, str]:
    """Return what comes of each address of *host*."""
    return {each.address: refusal(each.outcome) for each in network.attempts(host, port)}


@pytest.mark.parametrize("family", [4, 6])
def test_names_resolved_by_docker_connect_at_the_first_attempt(
    docker_lab: Lab, network: Containers, family: int
) -> None:
    """Docker asks the machine's resolver from inside the container: forwarded traffic."""
    assert "nameserver 127.0.0.11\n" in network.run("cat", "/etc/resolv.conf").stdout
    with running(docker_lab.net, POLICY):
        made = network.connect_to_answers(FRESH_ZONE, family=family, count=100)
    assert made == Connections(100, 0, 0, 0, 0, made.connect_s, made.total_s)


def test_only_permitted_names_are_reached(docker_lab: Lab, network: Containers) -> None:
    """The other one resolves too, and is refused at once, in both families."""
    everything = dict.fromkeys(DENIED.addresses, "connected")
    assert outcomes(network, DENIED.name) == everything
    with running(docker_lab.net, POLICY):
        assert outcomes(network, ALLOWED.name) == dict.fromkeys(ALLOWED.addresses, "connected")
        assert outcomes(network, DENIED.name) == dict.fromkeys(DENIED.addresses, "ECONNREFUSED")
    assert outcomes(network, DENIED.name) == everything


def test_containers_reach_each_other_by_name(docker_lab: Lab, network: Containers) -> None:
    """Docker knows their names, and what stays on the bridge is nobody's business."""
    with running(docker_lab.net, POLICY) as enforcer, network.serving("server", PORT):
        until(
            lambda: "connected" in outcomes(network, "server", PORT).values(), 20, "the container"
        )
        bridges = {
            each["name"]: each
            for each in enforcer.status()["interfaces"]
            if each["name"].startswith("br-") and each["name"] != "br-lab"
        }
        (bridge,) = bridges.values()
        assert bridge["role"] == "exempt"
        assert bridge["programs"] == [Program.FORWARD_MARK.value]


def test_a_published_port_is_reached_from_outside(docker_lab: Lab, network: Containers) -> None:
    """Docker's rules lead there, and the replies leave by the guarded uplink."""
    published = f"--publish={PORT}:{PORT}"
    with running(docker_lab.net, POLICY), network.serving("published", PORT, published):
        for address in ("10.77.0.2", "fd77::2"):
            until(
                lambda address=address: (  # type: ignore[misc]
                    attempt(docker_lab.net.world, address, PORT).outcome == "connected"
                ),
                20,
                f"{address} port {PORT}",
            )
