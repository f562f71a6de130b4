"""A pull that is refused is told with the registry, and who pulled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.conftest import POLICY
from tests.lab.containers import containers
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.pull import dockerd, skopeo
from tests.lab.registry import DENIED, Registries
from tests.lab.test_denials import told

pytestmark = pytest.mark.root

# Docker's containers get an id of 64 hexadecimal digits.
ID_LENGTH = 64


@pytest.mark.parametrize("client", ["skopeo", "dockerd"])
def test_a_refused_pull_is_told(
    shared_lab: Lab, enforcer: Enforcer, registries: Registries, client: str
) -> None:
    """By the words people look for, with the program that pulled."""
    host = shared_lab.net.host
    if client == "skopeo":
        assert not skopeo(host, registries.denied.image, registries.ca).ok
    else:
        with dockerd(host, registries.ca) as docker:
            assert not docker.pull(registries.denied.image).ok
    found = [
        each
        for address in DENIED.addresses
        for each in told(enforcer, address)
        if each["process"] == client
    ]
    assert {(each["host"], each["port"], each["uid"]) for each in found} == {(DENIED.name, 443, 0)}
    # skopeo may have ended before /proc was asked.
    executables = {Path(each["executable"]).name for each in found if each["executable"]}
    assert executables <= {client}
    assert executables or client == "skopeo"
    assert f"registry access to {DENIED.name} is not allowed by lab's policy: tcp" in enforcer.log


@pytest.mark.needs("log")
def test_a_container_of_docker_is_told_by_its_id(lab: Lab) -> None:
    """And by its own program, as its mount namespace has it."""
    with (
        running(lab.net, POLICY) as enforcer,
        containers(lab.net.host) as network,
        network.serving("puller", 80),  # so that it is there when it is asked about
    ):
        network.attempts(DENIED.name, within="puller")
        for address in DENIED.addresses:
            (denial,) = told(enforcer, address)
            assert (denial["host"], denial["process"]) == (DENIED.name, "python3")
            assert denial["container"]["runtime"] == "docker"
            assert len(denial["container"]["id"]) == ID_LENGTH
            assert denial["source"].startswith(("172.31.0.", "fd31::"))
            assert denial["interface"].startswith("br-")
            assert "of docker container" in denial["text"]
