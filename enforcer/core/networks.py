"""The rules that know a destination by its network.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from enforcer.core.addresses import Address, Network
from enforcer.core.sets import SETS


def to_networks(networks: Iterable[Network], rest: str) -> Iterator[str]:
    """Return the rules for packets to *networks*: one for each family and length of prefix.

    So a packet passes no more of them where there are thousands of networks.

    A set of intervals would be one rule, but an empty one at first. Linux kernel commit
    7e43e0a1141d ("netfilter: nft_set_rbtree: translate rbtree to array for binary search") (in
    v7.0, and in stable releases of v6.18) fills it by nft_set_commit_update(), at the end of a
    commit, when packets come to the new chains already. What is in other sets is there when
    the chains are.

    Args:
        networks: in any order; may overlap.
        rest: of each rule, with its verdict.
    """
    of_mask: dict[Address, set[Address]] = {}
    for network in networks:
        of_mask.setdefault(network.netmask, set()).add(network.network_address)
    for mask in sorted(of_mask, key=lambda mask: (mask.version, int(mask))):
        listed = ", ".join(map(str, sorted(of_mask[mask], key=int)))
        yield f"{SETS[mask.version].protocol} daddr & {mask} {{ {listed} }} {rest}"
