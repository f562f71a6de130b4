"""Problems that any host may have: as many lines as somebody reads."""

from __future__ import annotations

import logging

import pytest

from enforcer.core.problem import Problem
from enforcer.daemon.problems import MAX_NAMED, Problems, ProblemsOfHosts


def texts(problems: Problems) -> list[str]:
    """Return what is told now."""
    return [problem.text for problem in problems.current()]


def of_hosts(problems: Problems, count: int) -> ProblemsOfHosts:
    """Return problems that as many hosts have."""
    found = ProblemsOfHosts(problems, "trouble of", "trouble with", hint=None)
    for n in range(count):
        found.raise_(f"host{n}", Problem(f"trouble with host{n}"))
    return found


def test_a_few_are_named_and_the_others_counted() -> None:
    """Each host of a policy of 100,000 kept a text and a key of its own, and a line in status."""
    problems = Problems()
    of_hosts(problems, MAX_NAMED + 1000)
    assert texts(problems) == [
        *(f"trouble with host{n}" for n in range(MAX_NAMED)),
        "trouble with 1000 other hosts",
    ]


def test_a_host_that_recovers_makes_room_for_another() -> None:
    """The next that is told of its trouble again is named; nobody is counted twice."""
    problems = Problems()
    found = of_hosts(problems, MAX_NAMED + 2)
    found.settle("host0")
    found.settle("host0")
    found.raise_(f"host{MAX_NAMED}", Problem("again"))
    assert texts(problems)[-2:] == ["trouble with another host", "again"]
    found.settle(f"host{MAX_NAMED + 1}")
    assert len(texts(problems)) == MAX_NAMED


def test_hosts_that_are_gone_have_no_problems() -> None:
    """Named or counted, after a reload without them."""
    problems = Problems()
    found = of_hosts(problems, MAX_NAMED + 10)
    found.retain(lambda host: host in {"host1", f"host{MAX_NAMED}"})
    assert texts(problems) == ["trouble with host1", "trouble with another host"]
    found.retain(lambda _host: False)
    assert texts(problems) == []


def test_other_words_for_a_host_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """What is below a wildcard is anybody's to make up: each name was a line in the log."""
    problems = Problems()
    found = of_hosts(problems, 1)
    with caplog.at_level(logging.INFO):
        for n in range(100):
            found.raise_("host0", Problem(f"name{n} leads inside"))
    assert texts(problems) == ["name99 leads inside"]
    assert [each.getMessage() for each in caplog.records] == ["trouble with host0"]
