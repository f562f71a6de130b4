"""Try the ruleset in the kernel with packets that can't leave the machine. Blocking."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from enforcer.core.addresses import Address
from enforcer.core.destinations import DNS_PORT
from enforcer.core.host_and_port import HTTPS
from enforcer.core.interfaces import Role
from enforcer.core.opened import Pair
from enforcer.core.policy import Mode, Policy
from enforcer.core.probes import LOOPBACK, Drawn, Fate, Sent, Way, documentation, without_default
from enforcer.core.proof import FAMILIES, FamilyProof, Outcome, Shown, acceptance, denial
from enforcer.daemon.datapath import Datapath
from enforcer.edge.firewall import Firewall
from enforcer.edge.links import Links
from enforcer.edge.sealed import SealedSockets

MOST_TRIED = 3
NOTHING_TO_TRY = Shown(Outcome.UNPROVED, "the policy permits all addresses for documentation")
_BITS = 128  # of an address, at most


@dataclass(frozen=True)
class Expected:
    """What the ruleset in force is expected to do.

    Attributes:
        resolvers: trusted.
        open: some of the addresses and ports that answers opened, of each family.
    """

    policy: Policy
    resolvers: tuple[Address, ...]
    open: dict[int, tuple[Pair, ...]]

    def permitted(self, version: int) -> Iterator[tuple[Pair, ...]]:
        """Yield what is permitted in one family, by each way to be so, the best to try first."""
        yield self.open.get(version, ())
        yield tuple(
            (network[min(1, network.num_addresses - 1)], HTTPS)
            for network in self.policy.networks
            if network.version == version
        )[:MOST_TRIED]
        yield tuple(
            (each, DNS_PORT)
            for each in self.resolvers
            if each.version == version and not (each.is_loopback or each.is_link_local)
        )[:MOST_TRIED]


class Probe:
    """What is tried passes every chain that the machine's own packets pass.

    Args:
        make: makes the sockets.
        firewall: counts what nothing permits.
        links: knows where routes lead.
    """

    def __init__(self, make: Callable[[], SealedSockets], firewall: Firewall, links: Links) -> None:
        self._make = make
        self._firewall = firewall
        self._links = links
        self._sockets: SealedSockets | None = None

    def close(self) -> None:
        """Let go of the sockets."""
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def of(self, expected: Expected) -> tuple[FamilyProof, ...]:
        """Return what is shown of each family that the kernel has.

        Raises:
            DatapathError: nothing can be tried.
        """
        if self._sockets is None:
            self._sockets = self._make()
        sockets = self._sockets
        return tuple(self._family(sockets, version, expected) for version in sockets.versions)

    def _family(self, sockets: SealedSockets, version: int, expected: Expected) -> FamilyProof:
        # What could leave is not sent before something that can't was seen to end.
        inside = sockets.open_connection(LOOPBACK[version], HTTPS)
        if inside.fate is not Fate.PASSED:
            shown = self._unsealed(version, inside)
            return FamilyProof(version, shown.outcome, why=shown.why)
        address, denied = self._denied(sockets, version, expected)
        if denied.outcome is not Outcome.PROVED:
            return FamilyProof(version, denied.outcome, why=denied.why)
        pair, accepted = self._accepted(sockets, expected.permitted(version))
        return FamilyProof(version, accepted.outcome, address, pair, accepted.why)

    def _unsealed(self, version: int, inside: Sent) -> Shown:
        """Return what a probe inside the machine means that did not come to its end."""
        somewhere = [address for address, _ in documentation(version, Drawn(0, (), ()))]
        if inside.fate is Fate.NO_ROUTE and not self._links.network(somewhere).facing:
            return Shown(Outcome.NO_ROUTE, f"no {FAMILIES[version]} here: {inside.error}")
        why = f"nothing is sent: what goes to {LOOPBACK[version]} was to end, and did not"
        return Shown(Outcome.UNPROVED, f"{why}: {inside.error}")

    def _denied(
        self, sockets: SealedSockets, version: int, expected: Expected
    ) -> tuple[Address | None, Shown]:
        policy = expected.policy
        drawn = Drawn(secrets.randbits(_BITS), policy.networks, expected.resolvers)
        address, shown = self._first_denied(sockets, documentation(version, drawn), policy.mode)
        if shown.outcome is Outcome.NO_ROUTE:
            network = self._links.network(())
            guarded = {i.index for i in network.interfaces if network.role(i) is Role.GUARDED}
            ways = without_default(version, drawn, self._links.routes(), guarded)
            address, shown = self._first_denied(sockets, ways, policy.mode, shown)
        return address, shown

    def _first_denied(
        self,
        sockets: SealedSockets,
        ways: Iterable[Way],
        mode: Mode,
        found: Shown = NOTHING_TO_TRY,
    ) -> tuple[Address | None, Shown]:
        """Return the first address of which anything is shown, or else why nothing is."""
        first = True
        for address, by in ways:
            sent, judged = self._try(sockets, address, HTTPS, by)
            exempt = sent.fate is Fate.PASSED and self._is_exempt(sent.interface)
            shown = denial(address, sent, judged=judged, exempt=exempt, mode=mode)
            if shown.outcome in {Outcome.PROVED, Outcome.FAILED}:
                return address, shown
            if first:
                found, first = shown, False
        return None, found

    def _accepted(
        self, sockets: SealedSockets, ways: Iterable[Sequence[Pair]]
    ) -> tuple[Pair | None, Shown]:
        """Return what is accepted by the first way to be permitted that shows anything.

        Where nothing is permitted, or no route leads to it, nothing is denied.
        """
        for pairs in ways:
            worst = None
            for address, port in pairs:
                sent, judged = self._try(sockets, address, port)
                shown = acceptance(address, port, sent, judged=judged)
                if shown.outcome is Outcome.PROVED:
                    return (address, port), shown
                if shown.outcome is Outcome.FAILED or (
                    worst is None and shown.outcome is Outcome.UNPROVED
                ):
                    worst = shown
            if worst is not None:
                return None, worst
        return None, Shown(Outcome.PROVED)

    def _try(
        self, sockets: SealedSockets, address: Address, port: int, by: int | None = None
    ) -> tuple[Sent, bool | None]:
        """Send a probe; return also whether our last chain saw it, if that can be told."""
        before = self._firewall.probed()
        sent = sockets.open_connection(address, port, by)
        after = self._firewall.probed()
        if before is None or after is None:
            return sent, sent.judged if sent.fate is Fate.PASSED else None
        return sent, after != before

    def _is_exempt(self, index: int) -> bool:
        network = self._links.network(())
        return any(
            network.role(each) is Role.EXEMPT for each in network.interfaces if each.index == index
        )


def sealed_sockets(datapath: Datapath) -> SealedSockets:
    """Return what sends packets that the ruleset of *datapath* knows, and no network sees.

    Raises:
        DatapathError: they can't be made.
    """
    programs, within = datapath.programs, Path(datapath.on_cgroup.cgroup)
    return SealedSockets(programs.seal, programs.sealed, within, datapath.probe)
