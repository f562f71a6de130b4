"""Names of every length, in two tries: the longest match of both counts, as it would of one."""

from __future__ import annotations

from collections.abc import Iterator

import dns.name
import pytest

from enforcer.abi import SHORT_NAME_SIZE
from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import parse_pattern
from enforcer.edge.programs import Programs
from tests.bpf.conftest import GRANTS
from tests.bpf.messages import answer, learned, query
from tests.bpf.test_learning import ask, reply

pytestmark = pytest.mark.root


@pytest.fixture
def granting(programs: Programs) -> Iterator[Programs]:
    """The programs, which get the policy of all tests back afterwards."""
    yield programs
    programs.set_grants(Grants(GRANTS))


def domain(size: int) -> str:
    """Return a domain of *size* octets."""
    rest = size - len(".long.test")
    return f"{'x' * (rest - rest // 2 - 1)}.{'y' * (rest // 2)}.long.test"


def ports(programs: Programs, name: str) -> set[int]:
    """Return the ports that an answer for *name* opens."""
    programs.forget(programs.learned())
    asked = query(name)
    ask(programs, asked)
    reply(programs, answer(asked, f"{name}. 60 IN A 203.0.113.1").to_wire())
    return {port for _, port in learned(programs)}


@pytest.mark.parametrize("size", [*range(SHORT_NAME_SIZE - 3, SHORT_NAME_SIZE + 4), 100])
def test_a_name_matches_itself_and_a_wildcard_what_is_below(granting: Programs, size: int) -> None:
    """Neither one that is longer by an octet, nor one that is shorter."""
    name = domain(size)
    assert len(name) == size
    granting.set_grants(Grants([Grant(parse_pattern(name), (443,), private=False)]))
    assert ports(granting, name) == {443}
    for other in (f"a{name}", name[1:], f"a.{name}", f"{'a' * 60}.{name}"):
        assert ports(granting, other) == set()
    granting.set_grants(Grants([Grant(parse_pattern(f"*.{name}"), (443,), private=False)]))
    for below in (f"a.{name}", f"{'a' * 60}.{name}"):
        assert ports(granting, below) == {443}
    for other in (name, f"a{name}", f"a.b{name}"):
        assert ports(granting, other) == set()


def test_the_longest_of_both_tries_counts(granting: Programs) -> None:
    """A long name has its own grant, and its neighbours that of the short wildcard above."""
    long = domain(80)
    below = f"*.{long}"
    given = {"*.long.test": 443, long: 5000, below: 5001}
    grants = Grants(
        Grant(parse_pattern(pattern), (port,), private=False) for pattern, port in given.items()
    )
    granting.set_grants(grants)
    found = set()
    for name in ("a.long.test", long, f"a.{long}", f"b{long}", domain(79), f"c.{domain(81)}"):
        granted = grants.match(dns.name.from_text(name))
        assert granted is not None
        assert ports(granting, name) == set(granted.ports)
        found.add(granted.ports)
    assert len(found) == 3
