"""What enforces, as one: BPF programs, tc filters, the cgroup hook and the nftables table.

Blocking; the daemon calls it on one thread of its own.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

from enforcer.core.addresses import Address
from enforcer.core.changes import Change, Element, timed
from enforcer.core.destinations import Permitted
from enforcer.core.grants import Grants
from enforcer.core.interfaces import DEFAULT_EXEMPT, Network
from enforcer.core.policy import Policy
from enforcer.core.ruleset import Capabilities, can_name, compile_ruleset
from enforcer.core.wording import quoted
from enforcer.daemon import teardown
from enforcer.daemon.bridge import Bridge, cgroup_root
from enforcer.daemon.inheritance import Inheritance, policy_number
from enforcer.daemon.judging import Judging
from enforcer.daemon.live import End, LiveConnections
from enforcer.daemon.marks import Marks
from enforcer.daemon.placement import Placement
from enforcer.edge.boot_ruleset import BootRuleset
from enforcer.edge.cgroup import CONNECT_MARK, JUDGE_CONNECT, CgroupHook
from enforcer.edge.earlier import related
from enforcer.edge.filters import Filters
from enforcer.edge.firewall import Firewall
from enforcer.edge.links import Links
from enforcer.edge.loader import Compilation
from enforcer.edge.own_files import RuntimeDirError
from enforcer.edge.programs import Programs
from enforcer.edge.runtime import Attachments, RuntimeDir
from enforcer.errors import DatapathError

RENAME = 'rename it, without ", * and \\: ip link set NAME down; ip link set NAME name OTHER up'
_UNSEEN = Network((), frozenset(), {})


class Datapath:
    """The kernel's part, from the first program to the last element.

    Args:
        runtime: held by this process; remembers what is attached.
        boot: keeps what the next boot begins with.
        cgroup: directory for connect_mark; None: the root of cgroup v2.
        capabilities: what this kernel's nftables can do.
        end: ends live connections; None where nothing can.
        compilation: of the programs; waited for.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(
        self,
        runtime: RuntimeDir,
        boot: BootRuleset,
        cgroup: Path | None,
        capabilities: Capabilities,
        end: End | None,
        compilation: Compilation,
    ) -> None:
        self._runtime = runtime
        self.boot = boot
        self._predecessor = runtime.recorded()
        self._marks = Marks(self._predecessor.nonces if self._predecessor else ())
        # Of packets that try the ruleset, by which it knows them.
        self.probe = _new_priority()
        self.firewall = Firewall()
        self.links = Links(self._predecessor.last_defaults if self._predecessor else {})
        self.filters = Filters()
        # The table of a killed predecessor: what it let live may live on. Without one it is
        # that of the boot, and nobody has looked at connections.
        before = self._predecessor
        judged = before is not None and self._is_whole(before)
        permitted = _permitted(before) if before is not None and judged else None
        # What the table has to be like so that a successor can take connections for judged.
        self._trusted = before.table if before is not None else None
        self._live = LiveConnections(self.links, end, permitted)
        self._capabilities = capabilities
        self.programs = Programs(compilation.result())
        root = cgroup or cgroup_root(runtime.cgroup)
        CgroupHook(root).ids()  # what is no cgroup is refused before anything is attached
        earlier = self.filters.program_ids()
        # Somebody may have taken the record away.
        self._older = before.program_ids if before else related(root, earlier)
        earlier.update(self._older)
        self.inheritance = Inheritance(self.firewall, self.programs, earlier, runtime.path)
        self._placement = Placement(self.filters, self.programs, beside=bool(earlier))
        self.on_cgroup = Bridge(root, self.programs.on_cgroup, self.programs.refused)
        self.judging = Judging(root, self.programs.judge, self.links, capabilities)
        self._bridged = False
        # Whether, at the last `follow`, no route led to some resolver.
        self.lost = False
        # What the ruleset that is replaced has counted: the next one goes on from there.
        self._denied = 0
        self.own: frozenset[Address] = frozenset()
        self._network = _UNSEEN
        self._enforced_uplinks: frozenset[str] = frozenset()
        self._resolvers: tuple[str, ...] = ()
        self._networks = before.networks if before else ()

    def _is_whole(self, before: Attachments) -> bool:
        """Tell whether the table is one that enforces, and as *before* says that it was made."""
        enforces = self.firewall.enforces()
        return enforces and before.table is not None and not self.firewall.edited(before.table)

    @property
    def uplinks_moved(self) -> bool:
        """Whether the ruleset in force exempts an uplink, or guards what is none any more."""
        return self._uplinks != self._enforced_uplinks

    @property
    def _uplinks(self) -> frozenset[str]:
        return frozenset(filter(can_name, self._network.leading_out))

    def device(self, resolver: Address) -> str:
        """Return the interface that *resolver* was last seen to be reached by.

        Raises:
            OSError: there was none, or a container may have put itself in its place.
        """
        found = self._network.devices.get(resolver)
        if found is None:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return found

    def learn(
        self, policy: Policy, grants: Grants, resolvers: Collection[Address]
    ) -> dict[str, DatapathError]:
        """Let the kernel learn from answers of *resolvers*; nothing is denied yet.

        Args:
            policy: whose times count.
            grants: of names.
            resolvers: trusted.

        Returns: as `follow` does.
        """
        self._configure(policy)
        self.programs.set_grants(grants)
        return self.follow(resolvers)

    def renew(self, policy: Policy) -> None:
        """Mark with another nonce, now that only *policy*'s hosts are known.

        Sockets that still try under the policy before don't have it; the next `enforce`
        forgets theirs.
        """
        self._marks.renew()
        self._configure(policy, learned_by=policy_number(policy))

    def keep(self) -> None:
        """Mark with the nonce of before `renew` from the next `learn` on."""
        self._marks.keep()

    def bridge(self, policy: Policy) -> None:
        """Let the first SYN to a learned address pass before the sets know it.

        What an earlier process left goes on learning and marking beside this one: see `alone`.
        """
        before = self._predecessor
        if before is not None and before.cgroup != self.on_cgroup.cgroup:
            teardown.detach(before)
            self._predecessor, self._older = None, ()
        self._configure(policy, beside=self.on_cgroup.marked_by(self._older))
        self._bridged = True
        # Recorded first: what is attached must be found whatever happens next.
        self.record()
        self.on_cgroup.attach()

    def alone(self, policy: Policy, resolvers: Collection[Address]) -> dict[str, DatapathError]:
        """Take away what an earlier process left, now that answers it waited for have come.

        Returns: as `follow` does.
        """
        self.inheritance.pass_on(policy)
        self.settle(policy)
        self.on_cgroup.detach(self._older)
        self._predecessor, self._older = None, ()
        self._placement.beside = False
        self.record()
        return self.follow(resolvers)

    def settle(self, policy: Policy) -> None:
        """Tell whoever comes after that all that is learned now was learned by *policy*."""
        self._configure(policy, learned_by=policy_number(policy))

    def _configure(self, policy: Policy, *, beside: bool = False, learned_by: int = 0) -> None:
        self.programs.configure(
            nonce=self._marks.setting,
            other_nonce=self._marks.other,
            min_ttl_s=policy.min_ttl_s,
            grace_s=policy.grace_s,
            beside=beside,
            policy=learned_by,
        )

    def follow(self, resolvers: Collection[Address]) -> dict[str, DatapathError]:
        """Trust *resolvers*, and put each program on the interfaces where it belongs now.

        Returns: what stands in the way, by the interface or program that it concerns.
        """
        self._network = network = self.links.network(resolvers)
        self.own = self.links.addresses()
        self.programs.set_own_addresses(self.own)
        self.programs.set_resolvers({each: network.faced.get(each, 0) for each in resolvers})
        self.lost = not network.facing.keys() >= set(resolvers)
        refused = self._placement.follow(network, lost=self.lost)
        if self._bridged:
            try:
                self.on_cgroup.restore()
            except DatapathError as exc:
                refused[CONNECT_MARK] = exc
            try:
                self.judging.follow(network)
            except DatapathError as exc:
                refused[JUDGE_CONNECT] = exc
        for name in network.leading_out - self._uplinks:
            refused[name] = DatapathError(
                f"nft can't be told of {quoted(name)}, which leads out", RENAME
            )
        trusted = tuple(map(str, resolvers))
        if self._resolvers != trusted:
            self._resolvers = trusted
            self._record_later()
        return refused

    @property
    def put_back(self) -> tuple[str, ...]:
        """What the last `follow` found taken off, in words; its programs are where they were."""
        return self._placement.put_back + self.on_cgroup.put_back + self.judging.put_back

    def record(self) -> bool:
        """Have the record say what is attached; return whether it did not."""
        # Before connect_mark is attached there is a predecessor's record to keep.
        if not self._bridged:
            return False
        attachments = Attachments(
            cgroup=self.on_cgroup.cgroup,
            program_ids=(
                *self.on_cgroup.program_ids,
                *self.judging.program_ids,
                *self._older,
            ),
            resolvers=self._resolvers,
            nonces=self._marks.accepted,
            table=self._trusted,
            networks=self._networks,
            last_defaults={v: tuple(sorted(of)) for v, of in self.links.last_defaults.items()},
        )
        return self._runtime.record(attachments)

    def _record_later(self) -> None:
        """Record as far as that works: enforcement goes on, and whoever looks after it tells."""
        with contextlib.suppress(RuntimeDirError):
            self.record()
        with contextlib.suppress(RuntimeDirError):
            self.boot.put()

    def enforce(
        self,
        policy: Policy,
        resolvers: Collection[Address],
        elements: Iterable[Element],
        now: float,
    ) -> None:
        """Put the ruleset in force, in one transaction."""
        uplinks = self._uplinks
        nonces = self._marks.next()
        opened = tuple(elements)
        with contextlib.suppress(DatapathError):
            self._denied = self.firewall.denied() or self._denied
        trusted, self._trusted = self._trusted, None
        self._record_later()
        self.judging.suspend()
        ruleset = partial(
            compile_ruleset,
            mode=policy.mode,
            networks=policy.networks,
            resolvers=resolvers,
            probe=self.probe,
            exempt=DEFAULT_EXEMPT,
            uplinks=uplinks,
            capabilities=self._capabilities,
        )
        text = ruleset(nonces=nonces, elements=tuple(timed(opened, now)), denied=self._denied)
        try:
            self.firewall.apply(text)
        except DatapathError:
            self._trusted = trusted
            self._record_later()
            raise
        self._enforced_uplinks = uplinks
        self._networks = tuple(map(str, policy.networks))
        self._marks.accepted = nonces
        # Whatever is in place then is a daemon's.
        self.boot.use(ruleset(nonces=(), replacing=False))
        self._record_later()
        self.judging.resume(policy, opened)

    def judge_anew(self) -> None:
        """Take no live connection for one that the ruleset let begin: it was not in force.

        Those that began before it was taken away as a whole are known by their label.
        """
        labels = self._capabilities.ct and self._capabilities.ct_label
        self._live.forget(but_labelled=labels and self.firewall.gone())

    def end_connections(
        self,
        policy: Policy,
        resolvers: Collection[Address],
        elements: Iterable[Element],
        closed: Iterable[tuple[Address, int]],
    ) -> None:
        """End the live connections that the ruleset in force would not let begin.

        Args:
            policy: in force.
            resolvers: trusted.
            elements: open.
            closed: are or were open under the policy before, and not under this one.
        """
        gone = frozenset(closed)

        def pairs() -> frozenset[tuple[Address, int]]:
            # Also what has ended: a connection may be older, and all of it is permitted.
            learned = self.programs.learned().keys() - gone
            return frozenset(learned | {(each.address, each.port) for each in elements})

        self._live.follow(policy, resolvers, pairs, gone)
        self._trusted = self.firewall.applied
        self._record_later()

    def write(self, change: Change, now: float) -> None:
        """Program what *change* says into the sets."""
        pairs = [(element.address, element.port) for element in change.delete]
        try:
            self.programs.forget(pairs)
            self.firewall.delete(pairs)
        finally:
            self.judging.write(change.rewrite, pairs)
            self.firewall.program(tuple(timed(change.rewrite, now)))

    def remove(self) -> None:
        """Take everything out of the kernel."""
        # Where that fails, `follow` puts back what nobody else took.
        self._placement.forget()
        with contextlib.ExitStack() as stack:  # the last one first, whatever fails
            stack.callback(teardown.remove, self.firewall, self.filters, self._runtime)
            stack.callback(self.on_cgroup.remove)
            stack.callback(self.judging.remove)
        self._bridged = False

    def close(self) -> None:
        """Let go of descriptors; what is in the kernel stays."""
        self.inheritance.close()
        self.programs.close()
        self.links.close()
        self.filters.close()
        self.firewall.close()


def _permitted(before: Attachments) -> Permitted:
    """Return what the ruleset *before* lets out, but for what answers opened."""
    networks = tuple(map(ipaddress.ip_network, before.networks))
    return Permitted(networks, frozenset(map(ipaddress.ip_address, before.resolvers)))


def _new_priority() -> int:
    # Neither half 0 or all ones, as handles of traffic control mean something by those.
    major, minor = (secrets.randbelow(0xFFFE) + 1 for _ in range(2))
    return major << 16 | minor
