"""The core of the lab in each tier: what passes is the same with whatever the kernel lacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.asking import held
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.connect import Attempt, attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connected, goes_on
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.test_denials import told
from tests.lab.tier import current
from tests.lab.wait import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(current() != "full", reason="all run in another tier already"),
]

ALL = "stateless+silent+unlogged+uncounted"
AT_ONCE_S = 0.1
EVIL = ("198.18.66.31", "2001:db8::66:31")
# Not permitted by anything, and reached without leaving by a guarded interface.
INSIDE = ("172.30.0.2", "fd30::2", "127.0.0.1", "::1", "10.77.0.2", "0.0.0.0", "::ffff:127.0.0.1")
COUNT = 50
PORT = 9443
NETWORK = "networks: [198.18.66.0/24]\n"


@pytest.fixture(scope="module", params=["stateless+unlogged", "silent", ALL])
def tier(request: pytest.FixtureRequest) -> str:
    """Return the name of a tier."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def enforcer(shared_lab: Lab, tier: str) -> Iterator[Enforcer]:
    """Return a daemon in that tier."""
    with running(shared_lab.net, POLICY, tier=tier) as started:
        yield started


def refused(lab: Lab, tier: str, where: str, address: str, port: int = 443) -> Attempt:
    """Have an attempt refused, as that tier refuses it; nothing of it arrives."""
    lab.sink.reset()
    namespace: Namespace = getattr(lab.net, where)
    made = attempt(namespace, address, port)
    if "silent" not in tier:
        expected = "ECONNREFUSED"
    else:
        expected = "EPERM" if where == "host" else "ETIMEDOUT"
    assert made.outcome == expected
    assert expected == "ETIMEDOUT" or made.elapsed_s < AT_ONCE_S
    assert lab.sink.syns() == {}
    return made


def permit(enforcer: Enforcer, policy: str, name: str) -> None:
    """Put *policy* in force, and wait until it has opened the addresses of *name*."""
    enforcer.put_in_force(policy)
    until(lambda: held(enforcer, name), 10, f"{name} to be looked up")


def test_the_tier_has_its_name_and_says_what_is_worse(enforcer: Enforcer, tier: str) -> None:
    """In `status`, whose verdict it does not change, and in the log of the start."""
    status = enforcer.status()
    assert (status["kernel"]["tier"], status["healthy"], status["enforcing"]) == (tier, True, True)
    for name in tier.split("+"):
        (note,) = (each for each in status["platform"]["notes"] if each.startswith(f"{name}: "))
        assert note in enforcer.log
    assert f"\ntier         {tier}\n" in enforcer.cli("status").stdout


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("client", ["host", "container"])
def test_first_connections_are_made_at_once(
    shared_lab: Lab, tier: str, client: str, family: int
) -> None:
    """None refused, none by a second SYN."""
    namespace = getattr(shared_lab.net, client)
    label = f"{client}{family}{tier.replace('+', '-')}"
    made = connect_to_answers(namespace, FRESH_ZONE, family=family, count=COUNT, label=label)
    assert (made.ok, made.refused, made.late, made.lost) == (COUNT, 0, 0, 0)


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("address", [*EVIL, f"::ffff:{EVIL[0]}", DENIED.addresses[0]])
def test_what_is_not_permitted_is_refused_at_once(shared_lab: Lab, tier: str, address: str) -> None:
    """On the machine itself."""
    refused(shared_lab, tier, "host", address)


@pytest.mark.usefixtures("enforcer")
def test_a_container_is_refused_as_the_tier_says(shared_lab: Lab, tier: str) -> None:
    """Nothing of it arrives, whenever it gives up."""
    refused(shared_lab, tier, "container", EVIL[0])


@pytest.mark.usefixtures("enforcer")
def test_ports_are_judged(shared_lab: Lab, tier: str) -> None:
    """A permitted address is not open on another port."""
    refused(shared_lab, tier, "host", ALLOWED.addresses[0], 8443)


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", INSIDE)
def test_what_stays_inside_is_not_judged(shared_lab: Lab, address: str, protocol: str) -> None:
    """Nobody listens there: the other end says so, and not the firewall."""
    made = attempt(shared_lab.net.host, address, 9, protocol=protocol)
    assert made.outcome == "ECONNREFUSED"


def test_who_was_denied_what_is_told(shared_lab: Lab, enforcer: Enforcer, tier: str) -> None:
    """With the process, also where the kernel has no log, or no packet was made."""
    refused(shared_lab, tier, "host", "198.18.66.41", 5001)
    (denial,) = told(enforcer, "198.18.66.41")
    assert (denial["port"], denial["uid"], denial["count"]) == (5001, 0, 1)
    assert denial["process"].startswith("python")
    total = enforcer.status()["denied"]["total"]
    assert total is None if "uncounted" in tier else total > 0


def test_connections_end_as_the_tier_says(shared_lab: Lab, enforcer: Enforcer, tier: str) -> None:
    """Of a host that a reload takes away; a container's go on where nothing is tracked."""
    net, address = shared_lab.net, DENIED.addresses[0]
    both = f"{POLICY}  - {{host: {DENIED.name}, ports: [{PORT}, {PORT + 3}]}}\n"
    both += f"  - {{host: {ALLOWED.name}, ports: [{PORT + 1}]}}\n"
    permit(enforcer, both, DENIED.name)
    with (
        connected(net.host, net.world, address, PORT) as ours,
        connected(net.container, net.world, address, PORT + 3) as containers,
        connected(net.host, net.world, ALLOWED.addresses[0], PORT + 1) as permitted,
        connected(net.world, net.host, "10.77.0.2", PORT) as from_outside,
        connected(net.host, net.host, "127.0.0.1", PORT + 2) as inside,
    ):
        without = both.replace(f"  - {{host: {DENIED.name}, ports: [{PORT}, {PORT + 3}]}}\n", "")
        enforcer.put_in_force(without)
        assert not goes_on(ours)
        assert all(map(goes_on, (permitted, from_outside, inside)))
        assert goes_on(containers) is ("stateless" in tier)
    permit(enforcer, POLICY, ALLOWED.name)


def test_a_reload_is_followed(shared_lab: Lab, enforcer: Enforcer, tier: str) -> None:
    """What another policy permits passes at once, and what it does not is refused."""
    allowed, denied = ALLOWED.addresses[0], DENIED.addresses[0]
    refused(shared_lab, tier, "host", denied)
    try:
        permit(enforcer, POLICY.replace(ALLOWED.name, DENIED.name) + NETWORK, DENIED.name)
        for address in (denied, EVIL[0]):
            assert attempt(shared_lab.net.host, address).outcome == "connected"
        refused(shared_lab, tier, "host", allowed)
        enforcer.put_in_force(POLICY + "mode: audit\n")
        for where in ("host", "container"):
            assert attempt(getattr(shared_lab.net, where), EVIL[1]).outcome == "connected"
    finally:
        permit(enforcer, POLICY, ALLOWED.name)
    assert attempt(shared_lab.net.host, allowed).outcome == "connected"
    refused(shared_lab, tier, "host", denied)


@pytest.mark.usefixtures("enforcer")
def test_a_new_network_inside_is_reached(shared_lab: Lab) -> None:
    """Containers that are started later are no more outside than others."""
    host = shared_lab.net.host
    host.ip("link add br-later type bridge", "address add 172.29.0.1/24 dev br-later")
    try:
        host.ip("link set br-later up")
        # There is nobody, which takes a while to be found out: the firewall says no at once.
        until(
            lambda: attempt(host, "172.29.0.2").outcome in {"EHOSTUNREACH", "ETIMEDOUT"},
            10,
            "the bridge to be seen",
        )
    finally:
        host.ip("link delete br-later")


def test_a_killed_daemon_leaves_it_as_it_is(shared_lab: Lab, enforcer: Enforcer, tier: str) -> None:
    """What is permitted goes on, first connections too; the rest does not; a new one takes over."""
    enforcer.kill()
    made = connect_to_answers(
        shared_lab.net.host, FRESH_ZONE, family=4, count=COUNT, label=tier.replace("+", "-")
    )
    assert (made.ok, made.refused, made.late) == (COUNT, 0, 0)
    refused(shared_lab, tier, "host", EVIL[0])
    enforcer.start()
    assert enforcer.status()["healthy"]
    assert attempt(shared_lab.net.host, ALLOWED.addresses[0]).outcome == "connected"
    refused(shared_lab, tier, "host", EVIL[1])
