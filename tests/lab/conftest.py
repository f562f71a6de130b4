"""Labs and daemons for the tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import Host, guarded, wired
from tests.lab.lab import Lab, new_lab
from tests.lab.registry import Registries, serving_registries
from tests.lab.threats import Labs, two_labs
from tests.lab.tier import current, lacking
from tests.lab.topology import Topology

FRESH_ZONE = "fresh.lab.test"
_numbers = itertools.count(1)
POLICY = f"""\
version: 1
organization: lab
hosts:
  - registry.allowed.test
  - "*.{FRESH_ZONE}"
"""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is about something that the current tier does without."""
    for mark in item.iter_markers("needs"):
        if missing := lacking().intersection(mark.args):
            pytest.skip(f"the tier {current()} does without {', '.join(sorted(missing))}")


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    """Return the lab that modules use one after the other, each with a daemon of its own."""
    with new_lab() as lab:
        lab.nameserver.fresh(FRESH_ZONE)
        yield lab


@pytest.fixture(scope="session")
def registries(shared_lab: Lab) -> Iterator[Registries]:
    """Return the two registries of the shared lab."""
    with serving_registries(shared_lab) as served:
        yield served


@pytest.fixture(scope="module")
def enforcer(shared_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Enforcer]:
    """Return a daemon that enforces the module's ``POLICY``, or the default one."""
    with running(shared_lab.net, getattr(request.module, "POLICY", POLICY)) as started:
        yield started


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Return a lab of the test's own, for what would disturb others."""
    with new_lab() as own:
        own.nameserver.fresh(FRESH_ZONE)
        yield own


@pytest.fixture
def world(lab: Lab) -> Topology:
    """Return the namespaces of `lab`; servers of the world have addresses by route only."""
    lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    return lab.net


@pytest.fixture
def policy() -> str:
    """Return a policy that permits one registry and the zone of fresh addresses."""
    return POLICY


@pytest.fixture(scope="module")
def net() -> Iterator[Topology]:
    """Return namespaces for the tests of the firewall alone, one for each module."""
    with wired() as made:
        yield made


@pytest.fixture
def host(net: Topology) -> Iterator[Host]:
    """Return a firewall of the test's own on the host of `net`, with no ruleset yet."""
    with guarded(net.host) as made:
        yield made


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Return a lab without and one with a daemon, for all threats of a module."""
    with two_labs(POLICY, FRESH_ZONE) as made:
        yield made


@pytest.fixture
def evil(version: int) -> str:
    """Return an address that nothing permits, and no other test uses."""
    number = next(_numbers)
    ipv4 = f"198.18.{128 + number // 250}.{1 + number % 250}"
    return (ipv4, f"2001:db8:77::{number:x}")[version]


@pytest.fixture
def name() -> str:
    """Return a permitted name that nobody asked for yet."""
    return f"t{next(_numbers)}.{FRESH_ZONE}"
