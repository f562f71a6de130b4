"""Judge connections where they begin, for what the ruleset can't do: answer, or log. Blocking.

Nothing that passes depends on it. Where it fails, what is refused times out or is not told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from enforcer.abi import JudgingFlags
from enforcer.core import addresses
from enforcer.core.changes import Element
from enforcer.core.interfaces import Network, Role
from enforcer.core.opened import Pair
from enforcer.core.outside import outside
from enforcer.core.policy import Mode, Policy
from enforcer.core.ruleset import Capabilities
from enforcer.edge.bpf import program_id
from enforcer.edge.cgroup import CgroupHook
from enforcer.edge.judge import Judge
from enforcer.edge.links import Links
from enforcer.errors import DatapathError

# Three looks at the network, of which there is one every 5 s. A daemon that is gone tells
# nobody of new networks: then the ruleset alone decides.
PATIENCE_S = 15.0
ELSEWHERE = "run the daemon in the cgroup that --cgroup names, or below it"
NOTHING = JudgingFlags(0)


class Judging:
    """The programs on a cgroup, where this tier needs them and the kernel has them.

    Args:
        cgroup: directory they belong on.
        judge: tells them.
        links: tells where addresses are.
        capabilities: without `reject` they deny, without `log` they tell.

    Attributes:
        wanted: whether they do anything here.
        program_ids: of what is attached.
        put_back: what the last look found taken off, in words.
    """

    def __init__(
        self, cgroup: Path, judge: Judge, links: Links, capabilities: Capabilities
    ) -> None:
        self._judge = judge
        self._links = links
        self._denies = NOTHING if capabilities.reject else JudgingFlags.DENIES
        self._tells = NOTHING if capabilities.log else JudgingFlags.TELLS
        programs = judge.programs if self._denies | self._tells else {}
        self._hooks = {CgroupHook(cgroup, name): fd for name, fd in programs.items()}
        self.wanted = bool(programs)
        self.program_ids = tuple(map(program_id, programs.values()))
        self.put_back: tuple[str, ...] = ()
        self._attached = False
        self._flags = NOTHING
        self._unsure = False
        self._networks: tuple[addresses.Network, ...] = ()

    def remove(self) -> None:
        """Detach them, and take that for nobody's doing.

        Raises:
            DatapathError: the kernel refuses.
        """
        self._attached = False
        for hook, fd in self._hooks.items():
            hook.detach_own(fd, program_id(fd))

    def suspend(self) -> None:
        """Judge nothing while the ruleset changes; the next `follow` goes on if it does not."""
        if self.wanted:
            with contextlib.suppress(DatapathError):
                self._judge.judge(NOTHING, 0.0)

    def resume(self, policy: Policy, opened: Iterable[Element]) -> None:
        """Judge by the ruleset that is in force now.

        Where the kernel refuses, nothing is judged until the next `follow`, which says so.

        Args:
            policy: in force; audit denies nothing.
            opened: what is open.
        """
        denies = self._denies if policy.mode is Mode.ENFORCE else NOTHING
        self._flags = denies | self._tells
        self._networks = policy.networks
        if self.wanted:
            with contextlib.suppress(DatapathError):
                with self._or_nothing():
                    self._judge.set_opened(_ends(opened))
                self.follow(self._links.network(()))

    def follow(self, network: Network) -> None:
        """Attach what is not attached, and judge on by where addresses are now.

        Args:
            network: as it is now.

        Raises:
            DatapathError: the kernel refuses, or the programs don't see this process; nothing
                is judged then until the next one that succeeds.
        """
        self.put_back = ()
        if not self.wanted:
            return
        with self._or_nothing():
            self._attach()
            if not self._judge.find_namespace():
                raise DatapathError("judge_connect does not see this process", hint=ELSEWHERE)
            if not self._flags:
                return
            now = time.monotonic()
            if self._unsure:
                self._judge.renew()
                self._unsure = False
            self._judge.expire(now)
            exempt = {i.index for i in network.interfaces if network.role(i) is Role.EXEMPT}
            self._judge.set_places(outside(self._links.routes(), exempt, self._networks))
            self._judge.judge(self._flags, now + PATIENCE_S)

    def write(self, opened: Iterable[Element], closed: Collection[Pair]) -> None:
        """Take *opened* for open, and *closed* no longer.

        Where the kernel refuses, nothing is judged until the next `follow`, which says so.
        """
        if self.wanted:
            with contextlib.suppress(DatapathError), self._or_nothing():
                self._judge.shut(closed)
                self._judge.open(_ends(opened))

    def _attach(self) -> None:
        missing = [h for h, fd in self._hooks.items() if program_id(fd) not in h.ids()]
        for hook in missing:
            hook.attach(self._hooks[hook])
        if self._attached:
            taken_off = (f"{hook.program} was taken off cgroup {hook.path}" for hook in missing)
            self.put_back = tuple(taken_off)
        self._attached = True

    @contextlib.contextmanager
    def _or_nothing(self) -> Iterator[None]:
        try:
            yield
        except DatapathError:
            self._unsure = True
            with contextlib.suppress(DatapathError):
                self._judge.judge(NOTHING, 0.0)
            raise


def _ends(elements: Iterable[Element]) -> dict[Pair, float]:
    return {(each.address, each.port): each.expires for each in elements}
