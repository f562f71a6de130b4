"""What the machine itself needs to stay on its network, as rules of the output chain.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from enforcer.core.addresses import PRIVATE
from enforcer.core.destinations import ANYBODYS_PORTS, IGMP
from enforcer.core.networks import to_networks

NOT_FIRST_SYN = "tcp flags & (syn | ack) != syn"

# Where a DHCP client may ask. A server elsewhere (Azure's has a public address) hears the
# broadcast when the lease has almost run out (RFC 2131 section 4.4.5, REBINDING).
_DHCP_SERVERS = (
    *map(IPv4Network, ("255.255.255.255", "169.254.0.0/16")),
    *(network for network in PRIVATE if isinstance(network, IPv4Network)),
)
# Root, and the users that services have, such as systemd-network: SYS_UID_MAX of login.defs(5).
_SYSTEM = "meta skuid 0-999"


def own_traffic(*, ct: bool) -> Iterator[str]:
    """Return the rules that let it out; none of it is ever forwarded.

    Args:
        ct: connection tracking state can be matched.
    """
    yield "# neighbours and routers; routers never pass on hop limit 255 (RFC 4861)"
    types = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert"
    yield f"ip6 hoplimit 255 icmpv6 type {{ {types} }} accept"
    yield "# membership of groups on the link, without which switches hide neighbours"
    types = "mld-listener-report, mld-listener-done, mld2-listener-report"
    yield f"ip6 daddr ff00::/8 ip6 hoplimit 1 icmpv6 type {{ {types} }} accept"
    yield f"ip daddr 224.0.0.0/4 ip ttl 1 ip protocol {IGMP} accept"
    yield "# DHCP clients; their ports may be anybody's (net.ipv4.ip_unprivileged_port_start)"
    yield from to_networks(_DHCP_SERVERS, f"udp sport 68 udp dport 67 {_SYSTEM} accept")
    yield f"ip6 daddr ff02::1:2 udp sport 546 udp dport 547 {_SYSTEM} accept"
    if ct:
        yield "# a server's connection older than this table, such as an ssh session"
        yield f"ct state new tcp sport < {ANYBODYS_PORTS} {NOT_FIRST_SYN} accept"
        yield "# resets: our refusals to those we forward for, and ends of forgotten connections"
        yield "tcp flags & (fin | syn | rst) == rst accept"
