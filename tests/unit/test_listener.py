"""The listener: woken by the first answer of a burst, by the clock until it is over, never deaf."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable

from enforcer.daemon.listener import Listener
from enforcer.edge.scheduling import Courtesy

DEADLINE_S = 10.0


class Answers:
    """Answers that come, loudly or silently as the source was told.

    Attributes:
        waiting: how many there are to take.
        taken: how many were.
        silent: whether none of them wakes anybody.
        bursts: how often they were silenced.
        straggle: whether one more comes silently while they are told to be loud.
        refuse: whether they can't be told to be loud, once.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.waiting = self.taken = self.bursts = 0
        self.silent = self.straggle = self.refuse = False

    def open_events(self) -> tuple[int, ...]:
        """Return what polls readable."""
        return (self._fd,)

    def announce(self) -> None:
        """Be loud."""
        if self.refuse:
            self.refuse = False
            raise OSError
        self.silent = False

    def hush(self) -> None:
        """Be silent."""
        self.bursts += 1
        self.silent = True

    def come(self) -> None:
        """Let one more come."""
        self.waiting += 1
        if not self.silent:
            os.eventfd_write(self._fd, 1)

    def take(self, _limit: int) -> int:
        """Take all that wait; after that the straggler comes."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        count, self.waiting = self.waiting, 0
        self.taken += count
        if self.straggle and self.bursts and not self.silent:
            self.straggle = False
            self.waiting = 1
        return count

    def close(self) -> None:
        """Close what `open_events` returned."""
        os.close(self._fd)

    def at_rest(self) -> bool:
        """Whether all is taken and the next would be heard."""
        return not self.silent and not self.waiting


@contextlib.asynccontextmanager
async def listening(answers: Answers) -> AsyncIterator[None]:
    """Have a listener take *answers*."""
    listener = Listener(answers, answers.take, Courtesy())
    listener.start()
    try:
        yield
    finally:
        listener.close()
        answers.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until *condition*."""
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()

    def look() -> None:
        if condition():
            reached.set()
        else:
            loop.call_soon(look)

    look()
    await asyncio.wait_for(reached.wait(), DEADLINE_S)


def test_one_wake_up_takes_a_burst() -> None:
    """Answers that come while one looks wake nobody; after the burst they do again."""

    async def scenario() -> None:
        answers = Answers()
        async with listening(answers):
            for number in range(20):
                answers.come()
                await until(lambda so_far=number: answers.taken > so_far)  # type: ignore[misc]
            assert answers.bursts == 1
            await until(answers.at_rest)
            answers.come()
            await until(lambda: answers.taken == 21)
            assert answers.bursts == 2

    asyncio.run(scenario())


def test_an_answer_that_is_silent_while_a_burst_ends_is_taken() -> None:
    """The program that brought it had been told before to wake nobody."""

    async def scenario() -> None:
        answers = Answers()
        async with listening(answers):
            answers.straggle = True
            answers.come()
            await until(lambda: answers.taken == 2)

    asyncio.run(scenario())


def test_a_source_that_stays_silent_is_told_again() -> None:
    """Deaf for ever would be the end of exact lifetimes: the clock goes on until it works."""

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        answers = Answers()
        async with listening(answers):
            answers.refuse = True
            answers.come()
            await until(lambda: answers.taken == 1)
            await until(lambda: not answers.refuse)
            await until(answers.at_rest)

    asyncio.run(scenario())
