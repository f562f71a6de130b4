"""Programs loaded once for all tests of this folder, in a network namespace of their own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import parse_pattern
from enforcer.edge.loader import load
from enforcer.edge.programs import Programs

RESOLVERS = ("192.0.2.53", "2001:db8::53")
OWN = "198.51.100.7"
LOOPBACK_INDEX = 1  # whatever BPF_PROG_TEST_RUN runs is on it
GRANTS = (
    Grant(parse_pattern("registry.test"), (443,), private=False),
    Grant(parse_pattern("inside.test"), (443, 5000), private=True),
    Grant(parse_pattern("*.cdn.test"), (443,), private=False),
)
MIN_TTL_S = 60
GRACE_S = 300
NONCE = 0x51A7C0DE


def told() -> Programs:
    """Return the programs, loaded and told a policy."""
    programs = Programs(load())
    programs.configure(nonce=NONCE, other_nonce=0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    programs.set_resolvers({ip_address(each): LOOPBACK_INDEX for each in RESOLVERS})
    programs.set_grants(Grants(GRANTS))
    programs.set_own_addresses([ip_address(OWN)])
    return programs


@pytest.fixture(scope="session")
def loaded() -> Iterator[Programs]:
    """The programs that the tests share, with open event rings."""
    programs = told()
    programs.open_events()
    yield programs
    programs.close()


@pytest.fixture
def programs(loaded: Programs) -> Programs:
    """The programs with nothing learned and no event waiting."""
    loaded.forget(loaded.learned())
    loaded.drain()
    return loaded
