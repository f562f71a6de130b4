"""Answers that nobody is known to have asked for: some are passed on, apart from the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enforcer.edge import cpus
from enforcer.edge.programs import Programs
from tests.bpf.conftest import told
from tests.bpf.messages import answer, query
from tests.bpf.run import run, udp
from tests.bpf.test_learning import ask, reply

pytestmark = pytest.mark.root

OTHER = answer(query("other.test"), "other.test. 60 IN A 203.0.113.1").to_wire()
# bpf/others.h, of each CPU.
OTHERS_PER_S = 128


@pytest.fixture
def fresh() -> Iterator[Programs]:
    """The programs, with both kinds of rings, for one test."""
    programs = told()
    programs.open_events()
    programs.open_others()
    yield programs
    programs.close()


@pytest.mark.parametrize("family", [4, 6])
def test_an_answer_for_another_name_is_passed_on_apart(fresh: Programs, family: int) -> None:
    """Whole; it is no event and nothing is learned from it."""
    asked = query("other.test")
    ask(fresh, asked, family)
    reply(fresh, OTHER, family)
    assert fresh.others() == (OTHER,)
    assert fresh.drain() == ()
    assert fresh.learned() == {}


def test_an_answer_that_counts_is_not_passed_on_twice(fresh: Programs) -> None:
    """Where its query is remembered it is an event and nothing else."""
    asked = query("registry.test")
    ask(fresh, asked)
    reply(fresh, answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire())
    assert len(fresh.drain()) == 1
    assert fresh.others() == ()


NO_ANSWERS = {
    "no records": answer(query("other.test")).to_wire(),
    "an error": answer(query("other.test"), "other.test. 60 IN A 203.0.113.1", rcode=3).to_wire(),
    "a query": OTHER[:2] + b"\0\0" + OTHER[4:],
    "nothing": b"",
    "a header": OTHER[:12],
}


@pytest.mark.parametrize("wire", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_has_no_addresses_is_not_passed_on(fresh: Programs, wire: bytes) -> None:
    """It tells nothing of any address."""
    reply(fresh, wire)
    assert fresh.others() == ()


def test_what_no_trusted_resolver_says_is_not_passed_on(fresh: Programs) -> None:
    """Nor what another port of a trusted one says."""
    for source, port in (("192.0.2.99", 53), ("192.0.2.53", 54)):
        run(fresh.dns_answer, udp(source, port, "192.0.2.2", 40000, OTHER))
    assert fresh.others() == ()


def test_a_flood_is_passed_on_in_part(fresh: Programs) -> None:
    """So many a second and CPU, and no event is lost to them."""
    for _ in range(20 * OTHERS_PER_S):
        reply(fresh, OTHER)
    # The runs may have been on several CPUs, and in two seconds or more on a slow machine.
    passed_on = len(fresh.others())
    assert OTHERS_PER_S // 2 <= passed_on <= 8 * OTHERS_PER_S * len(cpus.online())
    asked = query("registry.test")
    ask(fresh, asked)
    reply(fresh, answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire())
    assert len(fresh.drain()) == 1
