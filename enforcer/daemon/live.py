"""End the live connections that no policy in force ever permitted. Blocking."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from enforcer.core.addresses import Address
from enforcer.core.destinations import Connection, Destination, Inside, Permitted
from enforcer.core.interfaces import Role
from enforcer.core.policy import Mode, Policy
from enforcer.edge.links import Links
from enforcer.log import LOGGER

End = Callable[[Callable[[Connection], bool]], int]


class LiveConnections:
    """Remembers what was permitted when connections were last gone through.

    A connection outlives the lifetime of its address. So when enforcement begins, all
    end that the policy does not permit, or that could have been prepared to look as if
    an address outside had begun them; later only those that it permits no longer.

    Args:
        links: tell where addresses are.
        end: ends those of all connections that are unwanted, and returns how many; None where
            nothing can.
        judged: a predecessor's ruleset enforces already.
    """

    def __init__(self, links: Links, end: End | None, *, judged: bool) -> None:
        self._links = links
        self._end = end
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

        What it fails to end is ended by the next one that doesn't fail.

        Args:
            policy: in force now.
            resolvers: trusted now.
            pairs: returns the addresses and TCP ports that are open now.
            removed: those that the policies before opened, and this one does not.

        Raises:
            DatapathError: connections can't be listed or ended.
        """
        if policy.mode is not Mode.ENFORCE or self._end is None:
            self._before = None
            return
        trusted = frozenset(resolvers)
        current = Permitted(policy.networks, trusted)
        before = self._before
        if before is not None:
            before |= Permitted(pairs=frozenset(removed))
            if before == current:  # nothing was taken away
                return
            # Until it has worked, all that was permitted before is to be gone through.
            self._before = before | current
        network = self._links.network(())
        exempt = {i.index for i in network.interfaces if network.role(i) is Role.EXEMPT}
        inside = Inside(self._links.routes(), exempt)

        @functools.cache
        def now() -> Permitted:  # not before there is a connection: it takes a while
            return replace(current, pairs=pairs())

        @functools.cache
        def leaves_unpermitted(destination: Destination) -> bool:
            return destination.address not in inside and not now().covers(destination)

        def unwanted(connection: Connection) -> bool:
            destination = connection.destination
            if before is not None:
                return before.covers(destination) and leaves_unpermitted(destination)
            # What seems to have been begun outside may have been made in somebody's name,
            # so that speaking to him is to answer. Who really asked will ask again.
            forgeable = not connection.made_by_both and connection.origin not in inside
            return forgeable or leaves_unpermitted(destination)

        ended = self._end(unwanted)
        self._before = current
        if ended:
            LOGGER.info("ended %d connections that the policy does not permit", ended)
