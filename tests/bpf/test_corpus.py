"""The kernel's parser of DNS answers against user space's: docs/testing.md tells how."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bpf.conftest import told
from tests.bpf.corpus.fuzz import fuzz, message, numbered
from tests.bpf.corpus.oddities import Odd, oddities
from tests.bpf.corpus.parsers import Opened, Parsers
from tests.bpf.corpus.plain import SIZE_MAX, plain

pytestmark = pytest.mark.root

SEED = "tests"
SEEDED = 18_500
EXAMPLES = 1_500


@pytest.fixture(scope="module")
def parsers() -> Iterator[Parsers]:
    """Both parsers with one policy; queries that stay unanswered here are nobody else's."""
    programs = told()
    programs.open_events()
    yield Parsers(programs)
    programs.close()


def listed(pairs: Opened) -> str:
    """Return *pairs* as oddities.txt lists them."""
    texts = (f"{address}#{port}/{s:.0f}" for (address, port), s in pairs.items())
    return " ".join(sorted(texts)) or "nothing"


@pytest.mark.parametrize("odd", oddities(), ids=lambda odd: odd.story[:60])
def test_an_odd_message_is_read_as_its_story_tells(parsers: Parsers, odd: Odd) -> None:
    """Each was read otherwise once, or could be."""
    outcome = parsers.check(odd.wire)
    assert (listed(outcome.learned), listed(outcome.opened)) == (odd.learned, odd.opened)


@pytest.mark.timeout(900)  # half a minute on an idle machine
def test_the_kernel_learns_what_user_space_would_open_and_no_more(parsers: Parsers) -> None:
    """All of a plain message, some or nothing of an odd one, and for no longer."""
    seen = fuzz(parsers, SEED, range(SEEDED))
    # That they agree on nothing would be easy.
    for kind in ("plain", "odd"):
        assert seen[f"{kind}, learned by the kernel"] > SEEDED / 20
    assert seen["plain, learned by the kernel"] == seen["plain, opened by user space"]


@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_they_agree_on_what_hypothesis_thinks_of(parsers: Parsers, rng: Random) -> None:
    """The same, with messages that hypothesis steers and makes small."""
    wire, is_plain = message(rng)
    if len(wire) <= SIZE_MAX:
        parsers.check(wire, plain=is_plain)


def test_no_cut_of_a_message_is_read_differently(parsers: Parsers) -> None:
    """Plain messages that end too early, at every octet of them."""
    for number in range(12):
        wire = plain(Random(number)).to_wire()[:600]  # noqa: S311  nothing secret
        for size in range(12, len(wire)):
            parsers.check(wire[:size])


def test_a_run_can_be_repeated() -> None:
    """The same seed and number give the same message, whatever came before."""
    assert numbered("a", 7) == numbered("a", 7) != numbered("b", 7)
