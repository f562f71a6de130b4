"""Ways to keep a connection to a host that the policy has lost, with its help or without."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.lab import guarded
from tests.lab.daemon import running
from tests.lab.forge import forge_first_segment
from tests.lab.guarded import Ends, family, goes_on, listener, without_tracking
from tests.lab.namespace import Namespace
from tests.lab.registry import DENIED
from tests.lab.test_downloads import BOTH
from tests.lab.test_older_connections import POLICY, both_families
from tests.lab.topology import Topology

pytestmark = pytest.mark.root
labels = pytest.mark.needs("ct", "ct-label")

PORT = 9445
OF_A_SERVER, OF_A_CLIENT = 500, 40500
of_both = pytest.mark.parametrize("origin", ["host", "container"])


@contextlib.contextmanager
def untranslated(net: Topology) -> Iterator[None]:
    """Have the world see the containers' own addresses and ports."""
    with without_tracking(net):
        net.world.ip("route add 172.30.0.0/24 via 10.77.0.2", "route add fd30::/64 via fd77::2")
        yield
        net.world.ip("route delete 172.30.0.0/24", "route delete fd30::/64")


@contextlib.contextmanager
def connected(net: Topology, origin: str, version: int, local_port: int) -> Iterator[Ends]:
    """Yield the two ends of a connection to the host that the policy loses."""
    client: Namespace = getattr(net, origin)
    address = DENIED.addresses[version]

    def dial() -> socket.socket:
        sock = socket.socket(family(address), socket.SOCK_STREAM)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.settimeout(2)
        sock.bind(("", local_port))
        sock.connect((address, PORT))
        return sock

    with (
        untranslated(net),
        listener(net.world, address, PORT) as listening,
        client.call(dial) as ours,
        listening.accept()[0] as theirs,
    ):
        theirs.settimeout(2)
        yield ours, theirs


@labels
@both_families
@of_both
def test_a_port_of_a_server_keeps_none(world: Topology, version: int, origin: str) -> None:
    """What comes to one could be for a server, and so what it answers a reply."""
    with (
        running(world, BOTH) as enforcer,
        connected(world, origin, version, OF_A_SERVER) as (ours, theirs),
    ):
        assert goes_on((ours, theirs))
        enforcer.put_in_force(POLICY)
        assert not goes_on((theirs, ours))


@labels
@both_families
@of_both
def test_what_could_begin_one_keeps_none(world: Topology, version: int, origin: str) -> None:
    """A first segment of the host's makes no connection of which ours were replies."""
    with (
        running(world, BOTH) as enforcer,
        connected(world, origin, version, OF_A_CLIENT) as (ours, theirs),
    ):
        assert goes_on((ours, theirs))
        enforcer.put_in_force(POLICY)
        # What its root can send.
        ends = theirs.getsockname()[:2], ours.getsockname()[:2]
        forge_first_segment(world.world, *ends)
        assert not goes_on((ours, theirs))


@labels
@both_families
def test_one_whose_beginning_was_forgotten_is_kept_by_nothing(
    world: Topology, version: int
) -> None:
    """From the port that it has it could be a server's."""
    with (
        running(world, BOTH) as enforcer,
        connected(world, "host", version, OF_A_SERVER) as (ours, theirs),
    ):
        world.host.run("conntrack", "-F")
        assert goes_on((ours, theirs))
        enforcer.put_in_force(POLICY)
        assert not goes_on((theirs, ours))


@labels
@both_families
def test_a_container_that_had_a_port_of_a_server_keeps_none(world: Topology, version: int) -> None:
    """When enforcement begins: no ruleset has labelled what is older."""
    with connected(world, "container", version, OF_A_SERVER) as (ours, theirs):
        assert goes_on((ours, theirs))
        with running(world, POLICY):
            assert not goes_on((theirs, ours))


@both_families
@pytest.mark.parametrize("tier", ["unlabelled", "stateless"])
def test_a_server_at_the_port_of_a_client_keeps_none(
    world: Topology, version: int, tier: str
) -> None:
    """It makes a connection look as if it had begun outside, where nothing is labelled."""
    address = ("0.0.0.0", "::")[version]
    with (
        running(world, BOTH, tier=tier) as enforcer,
        connected(world, "host", version, OF_A_CLIENT) as (ours, theirs),
        listener(world.host, address, OF_A_CLIENT, shared=True),
    ):
        assert goes_on((ours, theirs))
        enforcer.put_in_force(POLICY)
        assert not goes_on((theirs, ours))
        assert not goes_on((ours, theirs))


@pytest.mark.parametrize("tier", ["unlabelled", "stateless"])
def test_whoever_came_to_a_server_stays_when_his_network_goes(world: Topology, tier: str) -> None:
    """An administrator's session: who began it is not known there, but no user has its port."""
    with (
        running(world, f'{POLICY}networks: ["10.77.0.0/24"]\n', tier=tier) as enforcer,
        guarded.connected(world.world, world.host, "10.77.0.2", OF_A_SERVER) as ends,
    ):
        assert goes_on(ends)
        enforcer.put_in_force(POLICY)
        assert goes_on(ends)
