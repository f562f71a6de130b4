"""Images are pulled from the permitted registry; from the other the pull fails at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from tests.lab.lab import Lab
from tests.lab.patience import PATIENCE
from tests.lab.pull import Pull, dockerd, skopeo
from tests.lab.registry import Registries

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("enforcer")]

Client: TypeAlias = "Callable[[str], Pull]"

AT_ONCE_S = 2.0 * PATIENCE  # of a whole client, its start included


@pytest.fixture(params=["skopeo", "dockerd"])
def client(
    request: pytest.FixtureRequest, shared_lab: Lab, registries: Registries
) -> Iterator[Client]:
    """Return a client that pulls an image on the host, and has nothing in its caches."""
    host = shared_lab.net.host
    if request.param == "skopeo":
        yield lambda image: skopeo(host, image, registries.ca)
    else:
        with dockerd(host, registries.ca) as docker:
            yield docker.pull


def test_the_permitted_registry_is_pulled_from(client: Client, registries: Registries) -> None:
    """All layers arrive."""
    pull = client(registries.allowed.image)
    assert pull.ok, pull.message


@pytest.mark.needs("reject")
def test_the_other_registry_is_refused_at_once(client: Client, registries: Registries) -> None:
    """The client's own message names the address and says that it was refused."""
    pull = client(registries.denied.image)
    assert not pull.ok
    assert any(address in pull.message for address in registries.denied.addresses)
    assert "connection refused" in pull.message
    assert pull.elapsed_s < AT_ONCE_S


@pytest.fixture
def misleading_hosts_file(shared_lab: Lab, registries: Registries) -> Iterator[None]:
    """Point the permitted name at the other registry, before any client has read the file."""
    hosts = shared_lab.net.host.hosts_file
    before = hosts.read_text()
    hosts.write_text(f"{before}{registries.denied.addresses[0]} {registries.allowed.name}\n")
    yield
    hosts.write_text(before)


@pytest.mark.usefixtures("misleading_hosts_file")
@pytest.mark.needs("reject")
def test_a_hosts_file_entry_does_not_help(client: Client, registries: Registries) -> None:
    """The permitted name pointed at the other registry's address is refused there."""
    pull = client(registries.allowed.image)
    assert not pull.ok
    address = registries.denied.addresses[0]
    assert f"{address}:443: connect: connection refused" in pull.message
