"""End the live connections that no policy in force ever permitted. Blocking."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from enforcer.core.addresses import Address
from enforcer.core.destinations import Connection, Destination, Inside, Permitted
from enforcer.core.interfaces import Role
from enforcer.core.policy import Mode, Policy
from enforcer.core.wording import counted
from enforcer.edge.links import Links
from enforcer.log import LOGGER

End = Callable[[Callable[[Connection], bool]], int]
Pairs = Callable[[], frozenset[tuple[Address, int]]]
OfAddress = Callable[[Address], bool]
OfDestination = Callable[[Destination], bool]


class LiveConnections:
    """Remembers what was permitted when connections were last gone through.

    A connection outlives the lifetime of its address. So when enforcement begins, all
    end that the policy does not permit, or that could have been prepared to look as if
    an address outside had begun them; later only those that it permits no longer.

    Args:
        links: tell where addresses are.
        end: ends those of all connections that are unwanted, and returns how many; None where
            nothing can.
        before: what the ruleset of a predecessor, which enforces, always lets out; None
            without one.
    """

    def __init__(self, links: Links, end: End | None, before: Permitted | None) -> None:
        self._links = links
        self._end = end
        self._before = before
        # Some may have begun unjudged: those without a label.
        self._some_unjudged = False

    def forget(self, *, but_labelled: bool) -> None:
        """Judge all again at the next `follow`: some may have begun unjudged.

        Args:
            but_labelled: none that is labelled.
        """
        if but_labelled:
            self._some_unjudged = True
        else:
            self._before = None

    def follow(
        self,
        policy: Policy,
        resolvers: Collection[Address],
        pairs: Pairs,
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
            self._before, self._some_unjudged = None, False
            return
        trusted = frozenset(resolvers)
        current = Permitted(policy.networks, trusted)
        before, some_unjudged = self._before, self._some_unjudged
        if before is not None:
            before |= Permitted(pairs=frozenset(removed))
            if before == current and not some_unjudged:  # nothing was taken away
                return
            # Until it has worked, all that was permitted before is to be gone through.
            self._before = before | current
        inside, leaves_unpermitted = self._judges(current, pairs)

        def unwanted(connection: Connection) -> bool:
            destination = connection.destination
            if before is not None:
                ends = filter(None, (destination, connection.perhaps))
                if any(before.covers(end) and leaves_unpermitted(end) for end in ends):
                    return True
                if connection.labelled or not some_unjudged:
                    return False
            if connection.resumed:  # an ssh session, say, that began outside before our table
                return False
            # What seems to have been begun outside may have been made in somebody's name,
            # so that speaking to him is to answer. Who really asked will ask again.
            forgeable = not connection.made_by_both and not inside(connection.origin)
            return forgeable or leaves_unpermitted(destination)

        ended = self._end(unwanted)
        self._before, self._some_unjudged = current, False
        if ended:
            what = counted(ended, "connection")
            LOGGER.info("ended %s that the policy does not permit", what)

    def _judges(self, current: Permitted, pairs: Pairs) -> tuple[OfAddress, OfDestination]:
        """Return what tells of an address whether it is inside, and where not to go.

        Each is asked again and again: many connections have one of few ends.
        """
        network = self._links.network(())
        exempt = {i.index for i in network.interfaces if network.role(i) is Role.EXEMPT}
        ways = Inside(self._links.routes(), exempt)

        @functools.cache
        def now() -> Permitted:  # not before there is a connection: it takes a while
            return replace(current, pairs=pairs())

        @functools.cache
        def inside(address: Address) -> bool:
            return address in ways

        @functools.cache
        def leaves_unpermitted(destination: Destination) -> bool:
            return not inside(destination.address) and not now().covers(destination)

        return inside, leaves_unpermitted
