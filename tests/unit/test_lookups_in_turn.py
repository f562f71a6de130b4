"""The policy's names are looked up as they fall due, and whatever else needs it soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.name
import pytest

from enforcer.core.answers import Answer
from enforcer.core.policy import Policy
from enforcer.core.promises import Origin
from enforcer.daemon.lookups import MAX_SOON, Lookups
from enforcer.daemon.problems import Problems
from enforcer.edge.policy_file import read_policy
from enforcer.edge.resolver import CONCURRENT_LOOKUPS
from tests.fakes import FakeResolver, settled

NAME = dns.name.from_text("a.example")


class Setting:
    """Lookups with a fake resolver, and what came of them."""

    def __init__(self, *known: str, ttl_s: int = 60) -> None:
        addresses = {name: f"198.18.0.{n}" for n, name in enumerate(known, 1)}
        self.resolver = FakeResolver(addresses, ttl_s=ttl_s)
        self.problems = Problems()
        self.seen: list[str] = []
        self.lookups = Lookups(self._observe, self.problems, lambda _resolvers, **_: self.resolver)

    def _observe(self, answer: Answer, origin: Origin) -> None:
        assert origin is Origin.RESOLVER
        self.seen.append(answer.qname.to_text(omit_final_dot=True))

    def use(self, policy: Policy, **how: bool) -> None:
        """Put *policy* in force now."""
        self.lookups.use(policy, (), time.monotonic(), **how)

    def run(self, steps: Callable[[], Awaitable[None]]) -> None:
        """Run *steps*, then the lookups beside it."""

        async def both() -> None:
            task = asyncio.ensure_future(self.lookups.run())
            try:
                await asyncio.wait_for(steps(), 5)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(both())


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Policy]:
    """Return what makes a policy of hosts."""

    def make(*hosts: str) -> Policy:
        file = tmp_path / "policy.yaml"
        listed = "".join(f'  - "{host}"\n' for host in hosts)
        file.write_text(f"version: 1\norganization: unit\nhosts:\n{listed}")
        return read_policy(file)

    return make


def test_exact_names_are_looked_up_and_wildcards_are_not(policy: Callable[..., Policy]) -> None:
    """What stands below a wildcard is not known before somebody asks."""
    setting = Setting("a.example", "b.example")
    setting.use(policy("a.example", "b.example", "*.pkg.dev"))

    async def steps() -> None:
        await settled(lambda: len(setting.seen) == 2)

    setting.run(steps)
    assert sorted(setting.seen) == ["a.example", "b.example"]
    assert setting.problems.current() == ()


def test_a_name_without_answer_is_a_problem_until_it_has_one(
    policy: Callable[..., Policy],
) -> None:
    """The problem names the host and what its resolvers said; the next success ends it."""
    setting = Setting()
    setting.use(policy("a.example"))

    async def steps() -> None:
        await settled(lambda: bool(setting.problems.current()))
        (problem,) = setting.problems.current()
        assert problem.text == "a.example can't be resolved: A and AAAA: nobody knows it"
        setting.resolver.known["a.example"] = "198.18.0.1"
        setting.use(policy("a.example"), anew=True)
        await settled(lambda: not setting.problems.current())

    setting.run(steps)
    assert setting.seen == ["a.example"]


def test_a_name_that_left_the_policy_is_no_problem(policy: Callable[..., Policy]) -> None:
    """Nor is it looked up again."""
    setting = Setting("b.example")
    setting.use(policy("a.example"))

    async def steps() -> None:
        await settled(lambda: bool(setting.problems.current()))
        setting.use(policy("b.example"))
        assert setting.problems.current() == ()
        await settled(lambda: setting.seen == ["b.example"])

    setting.run(steps)


def test_the_first_round_ends_in_time(policy: Callable[..., Policy]) -> None:
    """A resolver that says nothing does not keep the daemon from enforcing."""
    setting = Setting("a.example")
    setting.use(policy("a.example"))

    async def first() -> None:
        setting.resolver.hold = asyncio.Event()
        await setting.lookups.first(0.01)
        assert setting.seen == []
        setting.resolver.hold.set()
        await settled(lambda: setting.seen == ["a.example"])

    asyncio.run(first())


def test_only_so_many_run_at_a_time(policy: Callable[..., Policy]) -> None:
    """The names of a large policy take turns."""
    names = [f"h{n}.example" for n in range(3 * CONCURRENT_LOOKUPS)]
    setting = Setting(*names[:250])
    setting.use(policy(*names))
    held = setting.resolver.hold = asyncio.Event()

    async def steps() -> None:
        await settled(lambda: setting.resolver.running == 2 * CONCURRENT_LOOKUPS)
        held.set()
        await settled(lambda: len(setting.resolver.asked) == len(names))

    setting.run(steps)
    assert setting.resolver.most == 2 * CONCURRENT_LOOKUPS


def test_a_cut_answer_is_looked_up_once_however_often_it_comes() -> None:
    """Our own lookup's answer may be cut too and must not be a reason for the next."""
    setting = Setting("a.example")

    async def steps() -> None:
        for _ in range(100):
            setting.lookups.soon(NAME)
        await settled(lambda: bool(setting.seen))
        setting.lookups.soon(NAME)
        await asyncio.sleep(0)

    setting.run(steps)
    assert setting.resolver.asked["a.example"] == 1


def test_a_flood_of_cut_answers_does_not_pile_up() -> None:
    """Names below a wildcard are anybody's to make up."""
    setting = Setting()

    async def steps() -> None:
        setting.resolver.hold = asyncio.Event()
        for number in range(2 * MAX_SOON):
            setting.lookups.soon(dns.name.from_text(f"n{number}.example"))
        await asyncio.sleep(0)
        assert setting.resolver.most == MAX_SOON
        setting.resolver.hold.set()
        await settled(lambda: setting.resolver.running == 0)

    setting.run(steps)
    # A name that nobody listed is no problem when it has no address.
    assert setting.problems.current() == ()


def test_a_mistake_of_ours_ends_the_lookups(policy: Callable[..., Policy]) -> None:
    """It must be heard of, not end one name's lookups for ever."""
    setting = Setting()
    setting.resolver.mistake = ZeroDivisionError()
    setting.use(policy("a.example"))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(setting.lookups.run())


def test_an_end_that_comes_with_a_wake_up_is_an_end(policy: Callable[..., Policy]) -> None:
    """Before Python 3.12 `asyncio.wait_for` forgets a cancellation if what it waits for is done.

    A lookup that finished in the moment of SIGTERM kept the daemon from stopping.
    """
    setting = Setting("a.example")

    async def end() -> None:
        task = asyncio.ensure_future(setting.lookups.run())
        await asyncio.sleep(0)
        setting.use(policy("a.example"))
        await settled(lambda: bool(setting.seen))
        for _ in range(10):
            await asyncio.sleep(0)
        same = policy("a.example")
        setting.use(same)  # wakes it
        await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done
        assert task.cancelled()

    asyncio.run(end())
