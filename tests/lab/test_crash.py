"""A start after a crash goes on with what was open, as far as the policy still permits it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from enforcer.edge.runtime import LAST_WORDS
from tests.lab.asking import ask, ask_both, await_held, held, is_open
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connected, goes_on
from tests.lab.lab import Lab
from tests.lab.patience import PATIENCE
from tests.lab.test_threats_daemon import is_closed
from tests.lab.test_threats_upgrade import Prober
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

PORT = 9443  # where no other server of the lab listens
POLICY = f"""\
version: 1
organization: lab
hosts:
  - registry.allowed.test
  - {{host: "*.{FRESH_ZONE}", ports: [443, {PORT}]}}
"""
ANOTHER = f"{POLICY}  - another.test\n"
WITHOUT_ZONE = "version: 1\norganization: lab\nhosts:\n  - registry.allowed.test\n"


@pytest.fixture
def enforcer(lab: Lab) -> Iterator[Enforcer]:
    """Return a daemon on a lab of the test's own."""
    with running(lab.net, POLICY) as started:
        yield started


def restart(enforcer: Enforcer, policy: str) -> None:
    """Kill the daemon, and start it with *policy*."""
    enforcer.kill()
    enforcer.policy_file.write_text(policy)
    enforcer.start()


def opens(lab: Lab, addresses: list[str]) -> set[bool]:
    """Return whether connections are made to *addresses*, of the machine and of a container."""
    return {is_open(each, a) for each in (lab.net.host, lab.net.container) for a in addresses}


def test_what_a_wildcard_had_open_stays_open_until_its_end(lab: Lab, enforcer: Enforcer) -> None:
    """Under another policy too, which permits it still, and with no more than was left of it.

    The books of a new process began empty: until somebody asked for it again, what only a
    wildcard permits was refused.
    """
    name = f"kept.{FRESH_ZONE}"
    addresses = ask_both(lab.net.host, RESOLVERS[0], name)
    before = await_held(enforcer, name, *addresses)
    for policy in (ANOTHER, POLICY):
        restart(enforcer, policy)
        after = held(enforcer, name)
        assert opens(lab, addresses) == {True}
        assert after.keys() == before.keys()
        for address, each in after.items():
            assert 0 <= before[address]["expires_s"] - each["expires_s"] < 60
            assert each["learned"] == ["earlier"]
        before = after


def test_what_nobody_but_the_kernel_learned_stays_open(lab: Lab, enforcer: Enforcer) -> None:
    """While there was no daemon, for a name that the policy, the same one, permits."""
    enforcer.kill()
    addresses = ask_both(lab.net.host, RESOLVERS[0], f"unseen.{FRESH_ZONE}")
    enforcer.start()
    assert opens(lab, addresses) == {True}


def test_what_another_policy_may_have_let_the_kernel_learn_is_forgotten(
    lab: Lab, enforcer: Enforcer
) -> None:
    """It keeps no names: nobody can tell whether the new policy permits it."""
    enforcer.kill()
    addresses = ask_both(lab.net.host, RESOLVERS[0], f"unseen.{FRESH_ZONE}")
    enforcer.policy_file.write_text(ANOTHER)
    enforcer.start()
    assert opens(lab, addresses) == {False}


def test_what_a_reload_let_the_kernel_learn_counts_as_learned_by_its_policy(
    lab: Lab, enforcer: Enforcer
) -> None:
    """The kernel is told which one is in force after each."""
    enforcer.put_in_force(ANOTHER)
    enforcer.kill()
    addresses = ask_both(lab.net.host, RESOLVERS[0], f"unseen.{FRESH_ZONE}")
    enforcer.start()
    assert opens(lab, addresses) == {True}


def test_what_the_new_policy_does_not_permit_ends(lab: Lab, enforcer: Enforcer) -> None:
    """The address is closed and the connection to it ended, as by a reload."""
    name = f"gone.{FRESH_ZONE}"
    lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    addresses = ask_both(lab.net.host, RESOLVERS[0], name)
    await_held(enforcer, name, *addresses)
    with connected(lab.net.host, lab.net.world, addresses[0], PORT) as ends:
        restart(enforcer, ANOTHER)
        assert goes_on(ends)
        restart(enforcer, WITHOUT_ZONE)
        assert not goes_on(ends)
    assert opens(lab, addresses) == {False}
    assert is_closed(lab)


def test_nothing_fails_and_nothing_passes_while_it_starts_again(
    lab: Lab, enforcer: Enforcer
) -> None:
    """Programs and ruleset are replaced without a gap for names that nobody asked for yet."""
    prober = Prober(lab)
    with prober.probing():
        for _ in range(3):
            restart(enforcer, POLICY)
    assert prober.outcomes == {"ECONNREFUSED"}
    assert prober.permitted == {(5, 0)}


def test_a_network_that_the_new_policy_does_not_have_ends(lab: Lab, enforcer: Enforcer) -> None:
    """What it permitted ends with it, though the policy changed while there was no daemon."""
    networks = 'networks: ["198.18.66.0/24", "198.18.68.0/24", "2001:db8:66::/48"]\n'
    kept = 'networks: ["198.18.68.0/24"]\n'
    lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    enforcer.put_in_force(POLICY + networks)
    with (
        connected(lab.net.host, lab.net.world, "198.18.66.1", PORT) as four,
        connected(lab.net.host, lab.net.world, "2001:db8:66::1", PORT) as six,
        connected(lab.net.host, lab.net.world, "198.18.68.1", PORT) as permitted,
    ):
        restart(enforcer, POLICY + networks)
        assert all(map(goes_on, (four, six, permitted)))
        restart(enforcer, POLICY + kept)
        assert [goes_on(each) for each in (four, six, permitted)] == [False, False, True]


def short_lived(*zones: str) -> str:
    """Return a policy of *zones*, whose addresses live for ten seconds."""
    hosts = "".join(f'  - {{host: "*.{zone}", ports: [{PORT}]}}\n' for zone in zones)
    return f"version: 1\norganization: lab\ndns: {{min_ttl: 10, grace: 0}}\nhosts:\n{hosts}"


@pytest.mark.parametrize("when", ["while it is down", "by a reload"])
def test_a_connection_older_than_its_address_ends_with_its_host(
    lab: Lab, enforcer: Enforcer, when: str
) -> None:
    """Also where the host goes from the policy after a restart, which knew of no such address.

    What another wildcard had open goes on, as old as it is.
    """
    host, world, both = lab.net.host, lab.net.world, short_lived("kept.test", "gone.test")
    names = {"old.kept.test": "198.18.66.1", "old.gone.test": "198.18.66.2"}
    enforcer.put_in_force(both)
    with contextlib.ExitStack() as stack:
        connections = []
        for name, address in names.items():
            lab.nameserver.add(name, address, ttl_s=1)
            ask(host, RESOLVERS[0], name)
            await_held(enforcer, name, address)
            connections.append(stack.enter_context(connected(host, world, address, PORT)))
        for name in names:
            until(lambda name=name: not held(enforcer, name), 40, "its end")  # type: ignore[misc]
        enforcer.process.terminate()
        enforcer.process.wait(20 * PATIENCE)
        if when == "by a reload":
            enforcer.start()
            assert all(map(goes_on, connections))
            enforcer.put_in_force(short_lived("kept.test"))
        else:
            enforcer.policy_file.write_text(short_lived("kept.test"))
            enforcer.start()
        assert [goes_on(each) for each in connections] == [True, False]
        assert not (enforcer.runtime_dir / LAST_WORDS).exists()
