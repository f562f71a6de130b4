"""Changes reach the sets in batches, each element's last word, whatever the kernel refuses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

from enforcer.core.changes import Change, Element
from enforcer.daemon.problems import Problems
from enforcer.daemon.writer import Writer
from tests.fakes import FakeSets, settled

Steps = Callable[[Writer, FakeSets, Problems], Awaitable[None]]


def element(number: int, expires: float = 100.0) -> Element:
    """Return an element of address *number*."""
    return Element(ipaddress.ip_address("198.18.0.0") + number, 443, expires, ("a.example",))


def writing(steps: Steps, *, failures: int = 0) -> FakeSets:
    """Run *steps* beside a writer without a pause between tries; return its sets."""
    sets, problems = FakeSets(failures=failures), Problems()
    writer = Writer(sets.write, problems, retry_after_s=0.0)

    async def run() -> None:
        task = asyncio.ensure_future(writer.run())
        try:
            await asyncio.wait_for(steps(writer, sets, problems), 5)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return sets


def test_changes_that_come_meanwhile_are_one_batch() -> None:
    """While one write takes its time a hundred changes are collected."""

    async def steps(writer: Writer, sets: FakeSets, _problems: Problems) -> None:
        sets.hold = asyncio.Event()
        writer.put(Change(rewrite=(element(0),)))
        await asyncio.sleep(0)
        for number in range(1, 101):
            writer.put(Change(rewrite=(element(number),)))
        sets.hold.set()
        await settled(lambda: len(sets.held) == 101)

    assert [len(batch.rewrite) for batch in writing(steps).batches] == [1, 100]


def test_the_last_word_on_an_element_counts() -> None:
    """Added, taken out and added again with another end, in one batch."""

    async def steps(writer: Writer, sets: FakeSets, _problems: Problems) -> None:
        writer.put(Change(rewrite=(element(1), element(2))))
        writer.put(Change(delete=(element(1), element(2))))
        writer.put(Change(rewrite=(element(1, 200.0),)))
        await settled(lambda: bool(sets.batches))

    (batch,) = writing(steps).batches
    assert batch == Change(rewrite=(element(1, 200.0),), delete=(element(2),))


def test_a_change_of_nothing_is_not_written() -> None:
    """Answers that only prolong what lasts long enough cost the kernel nothing."""

    async def steps(writer: Writer, sets: FakeSets, _problems: Problems) -> None:
        writer.put(Change())
        for _ in range(10):
            await asyncio.sleep(0)
        assert sets.batches == []

    writing(steps)


def test_a_refused_batch_is_tried_again_below_what_came_since() -> None:
    """The problem shows while it lasts, and no older word overwrites a newer one."""

    async def steps(writer: Writer, sets: FakeSets, problems: Problems) -> None:
        sets.hold = asyncio.Event()
        writer.put(Change(rewrite=(element(1), element(2), element(3))))
        await asyncio.sleep(0)
        writer.put(Change(rewrite=(element(2, 200.0),), delete=(element(3),)))
        sets.hold.set()
        await settled(lambda: bool(problems.current()))
        assert [problem.text for problem in problems.current()] == ["the sets are full"]
        await settled(lambda: bool(sets.batches) and not problems.current())

    sets = writing(steps, failures=3)
    assert set(sets.held.values()) == {element(1), element(2, 200.0)}
