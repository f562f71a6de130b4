"""End the live connections that no policy in force ever permitted. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from enforcer.core.addresses import Address
from enforcer.core.destinations import Destination, Inside, Permitted
from enforcer.core.interfaces import Role
from enforcer.core.policy import Mode, Policy
from enforcer.edge.conntrack import end_connections
from enforcer.edge.links import Links
from enforcer.log import LOGGER


class LiveConnections:
    """Remembers what was permitted when the ruleset was last put in force.

    A connection outlives the lifetime of its address. So when enforcement begins, all
    end that the policy does not permit; later only those that it permits no longer.

    Args:
        judged: a predecessor's ruleset enforces already.
    """

    def __init__(self, links: Links, *, judged: bool) -> None:
        self._links = links
        self._before: Permitted | None = Permitted() if judged else None

    def forget(self) -> None:
        """Judge all again at the next `follow`: some may have begun unjudged."""
        self._before = None

    def follow(
        self,
        policy: Policy,
        resolvers: Collection[Address],
        pairs: Callable[[], frozenset[tuple[Address, int]]],
        removed: Iterable[tuple[Address, int]],
    ) -> None:
        """End what may not go on under the ruleset that is in force now.

        Args:
            policy: in force now.
            resolvers: trusted now.
            pairs: returns the addresses and TCP ports that are open now.
            removed: those that the policy before opened, and this one does not.

        Raises:
            DatapathError: connections can't be listed or ended.
        """
        if policy.mode is not Mode.ENFORCE:
            self._before = None
            return
        trusted = frozenset(resolvers)
        before, self._before = self._before, Permitted(policy.networks, trusted)
        if before is not None:
            before = Permitted(before.networks, before.resolvers, frozenset(removed))
            if before == self._before:  # nothing was taken away
                return
        now = Permitted(policy.networks, trusted, pairs())
        network = self._links.network(())
        exempt = {i.index for i in network.interfaces if network.role(i) is Role.EXEMPT}
        inside = Inside(self._links.routes(), exempt)

        def unwanted(destination: Destination) -> bool:
            if destination.address in inside or now.covers(destination):
                return False
            return before is None or before.covers(destination)

        if ended := end_connections(unwanted):
            LOGGER.info("ended %d connections that the policy does not permit", ended)
