"""What happens to the machine: each event, what it cuts, and how that is seen to be whole again."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from chaos.conditions import answered, connection, echoes, kept, programs
from chaos.judgement import Cut, Swing, Window
from chaos.kinds import BARE, FAMILIES, FRESH, KNOWN, SWINGS, policy
from chaos.plan import Step
from chaos.world import PLACES, RESOLVER_PAIRS
from enforcer.edge.filters import Filters
from enforcer.edge.firewall import Firewall
from tests.lab.daemon import STOP_TIMEOUT_S, Enforcer
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, UPLINK, Topology
from tests.lab.wait import until

PAUSE_S = 5.0
# README.md: the kernel announces what becomes of the table and of filters.
REPAIRED_WITHIN_S = 1.0
# Of connections that began meanwhile: all that are tracked are gone through.
ENDED_WITHIN_S = 5.0
# README.md: at once, but no two looks follow each other without a rest of 5 s at the most.
FOLLOWED_WITHIN_S = 5.0
_GIVE_UP_S = 60.0
_DENIAL, _TRACEBACK = ": registry access to ", "Traceback"
# An admin's own ruleset, put in force as distributions do it: with all others flushed.
_OTHER_RULESET = """\
flush ruleset
table inet lab_masquerade {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "eth0" masquerade
  }
}
"""
# What the interface loses while it is down.
_CONFIGURATION = {
    UPLINK: (
        "address replace fd77::2/64 dev eth0 nodad",
        "route replace default via 10.77.0.1",
        "route replace default via fd77::1",
    ),
    "to-container": (),
}
_BEHIND = {UPLINK: PLACES, BRIDGE: ("container",), "to-container": ("container",)}


@dataclass
class Record:
    """What happened.

    Attributes:
        events: kind and target of each, and when it began and ended, in monotonic seconds.
        complaints: of daemons that ended by themselves or met an error of their own.
        log: what daemons logged, but for denials.
    """

    windows: list[Window] = field(default_factory=list)
    swings: list[Swing] = field(default_factory=list)
    events: list[tuple[str, str, float, float]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


class Stage:
    """The machine that things happen to.

    Args:
        net: of the lab.
        enforcer: its daemon, which runs with the policy of the first of SWINGS.
    """

    def __init__(self, net: Topology, enforcer: Enforcer) -> None:
        self._net = net
        self.enforcer = enforcer
        self.record = Record(swings=[Swing(0.0, SWINGS[0])])
        self._swing = 0
        self._pair = 0
        self._asked = 0
        self._firewall = net.host.call(Firewall)

    def close(self) -> None:
        """Let go of what watches the kernel."""
        self._firewall.close()

    def perform(self, step: Step) -> None:
        """Do what *step* says, and return when all it cut is whole again.

        Raises:
            DeadlinePassed: it is not.
        """
        event: Callable[[Step], None] = getattr(self, f"_{step.kind}")
        began = time.monotonic()
        event(step)
        self.record.events.append((step.kind, step.target, began, time.monotonic()))
        self.look()

    def look(self) -> None:
        """Note what the daemon has to answer for itself."""
        number = len(self.record.events)
        if (status := self.enforcer.process.poll()) is not None:
            self.record.complaints.append(f"event {number}: the daemon ended, status {status}")

    def part(self) -> None:
        """Read the log of a daemon that has ended, or is to be killed."""
        lines = [line for line in self.enforcer.log.splitlines() if _DENIAL not in line]
        number = len(self.record.events)
        if any(_TRACEBACK in line for line in lines):
            self.record.complaints.append(f"event {number}: the daemon met an error of its own")
        self.record.log += (f"{number} {line}" for line in lines)

    @contextlib.contextmanager
    def _cut(
        self, cut: Cut, places: Collection[str] = PLACES, bound_s: float | None = None
    ) -> Iterator[None]:
        began = time.monotonic()
        yield
        window = Window(
            cut, tuple(places), began, time.monotonic(), bound_s, len(self.record.events)
        )
        self.record.windows.append(window)

    def _kill(self, step: Step) -> None:
        self.enforcer.kill()
        self.part()
        time.sleep(step.lasts_s)
        self.enforcer.start()

    def _upgrade(self, step: Step) -> None:
        self._terminate()
        time.sleep(step.lasts_s)
        self.enforcer = Enforcer(self._net, policy(self._swing))
        self.enforcer.start()

    def _pause(self, _: Step) -> None:
        pid = self.enforcer.process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE_S)
        os.kill(pid, signal.SIGCONT)

    def _restart(self, _: Step) -> None:
        self._terminate()
        self.enforcer.start()

    def _terminate(self) -> None:
        """End the daemon as `systemctl restart` does."""
        self.enforcer.process.send_signal(signal.SIGTERM)
        self.enforcer.process.wait(STOP_TIMEOUT_S)
        self.part()

    def _reload(self, _: Step) -> None:
        self._swing = 1 - self._swing
        with self._cut(Cut.POLICY):
            self.enforcer.put_in_force(policy(self._swing))
        self.record.swings.append(Swing(self.record.windows[-1].ended, SWINGS[self._swing]))

    def _flush(self, _: Step) -> None:
        with self._cut(Cut.BEGUN, bound_s=ENDED_WITHIN_S):
            with contextlib.ExitStack() as stack:
                with self._cut(Cut.TABLE, bound_s=REPAIRED_WITHIN_S):
                    self._net.host.nft(_OTHER_RULESET)
                    begun = [
                        stack.enter_context(each)
                        for family in FAMILIES
                        for each in connection(self._net.host, BARE.address(family, 0))
                    ]
                    until(self._firewall.judges, _GIVE_UP_S, "the table to be put back")
                until(lambda: not any(map(echoes, begun)), _GIVE_UP_S, "what began to be ended")
            until(self._nobody_keeps, _GIVE_UP_S, "nobody to keep what is not permitted")

    def _nobody_keeps(self) -> bool:
        permitted = {KNOWN, SWINGS[self._swing]}
        return all(kept(self._namespace(place)) <= permitted for place in PLACES)

    def _qdisc(self, step: Step) -> None:
        # Made and used on one thread, which is in the namespace.
        self._net.host.call(lambda: self._without_qdisc(step.target))

    def _without_qdisc(self, device: str) -> None:
        with contextlib.closing(Filters()) as filters:
            before = programs(filters)
            with self._cut(Cut.LEARNING, _BEHIND[device], REPAIRED_WITHIN_S):
                self._net.host.run("tc", "qdisc", "del", "dev", device, "clsact")
                until(lambda: programs(filters) == before, _GIVE_UP_S, "the filters to be back")

    def _link(self, step: Step) -> None:
        places = _BEHIND[step.target]
        with self._cut(Cut.LINK, places):
            self._net.host.ip(f"link set {step.target} down")
            time.sleep(step.lasts_s)
            self._net.host.ip(f"link set {step.target} up", *_CONFIGURATION[step.target])
            self._until_answered(places)

    def _resolver(self, _: Step) -> None:
        self._pair = (self._pair + 1) % len(RESOLVER_PAIRS)
        text = "".join(f"nameserver {each}\n" for each in RESOLVER_PAIRS[self._pair])
        with self._cut(Cut.RESOLVER, bound_s=FOLLOWED_WITHIN_S):
            for place in PLACES:
                self._namespace(place).resolv_conf.write_text(text)
            self._until_answered(PLACES)

    def _until_answered(self, places: Collection[str]) -> None:
        for place, resolver in itertools.product(places, RESOLVER_PAIRS[self._pair]):
            answered = functools.partial(self._answered, place, resolver)
            until(answered, _GIVE_UP_S, f"{resolver} to answer in {place}")

    def _answered(self, place: str, resolver: str) -> bool:
        self._asked += 1
        return answered(self._namespace(place), resolver, f"check{self._asked}.{FRESH.zone}")

    def _namespace(self, place: str) -> Namespace:
        namespace: Namespace = getattr(self._net, place)
        return namespace
