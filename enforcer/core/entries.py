"""The values in a policy file: from what an operator wrote to what it means.

Pure: no I/O, no clock. Each function takes a value as a YAML document holds
it, of any type, and raises Faulty if it is not what it must be.
"""

from __future__ import annotations

import ipaddress

from enforcer.core.addresses import Address, Network
from enforcer.core.faults import Fault, Faulty
from enforcer.core.grants import MAX_PORTS
from enforcer.core.host_and_port import parse_host
from enforcer.core.hostname import Pattern
from enforcer.core.presets import presets
from enforcer.core.wording import described, quoted

# What is left of everything without loopback, multicast and what is nobody's: RFC 6890, RFC 4291.
_UNICAST = tuple(map(ipaddress.ip_network, ("0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3", "2000::/3")))
_NOWHERE = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "127.0.0.0/8")))


def host(value: object) -> tuple[Pattern, int | None]:
    """Read a host with or without port, as a string."""
    if not isinstance(value, str):
        raise _fault(f"must be a name, not {described(value)}", "write a name such as ghcr.io")
    if value in presets():
        raise _fault(f"{quoted(value)} is a preset, not a host", "list it under registries:")
    return parse_host(value)


def pattern(value: object) -> Pattern:
    """Read a host whose ports are written elsewhere."""
    found, port = host(value)
    if port is not None:
        hint = f"write host: {quoted(str(found))} and ports: [{port}]"
        raise _fault(f"{quoted(str(value))} has a port in its name", hint)
    return found


def few(ports: list[int]) -> list[int]:
    """Return *ports* if a host can have so many."""
    if len(set(ports)) > MAX_PORTS:
        raise Faulty(too_many(len(set(ports)), of="this"))
    return ports


def too_many(count: int, of: str) -> Fault:
    """Return what is wrong if the host *of* has *count* ports."""
    reason = f"{of} has {count} different ports, a host can have {MAX_PORTS}"
    return Fault((), reason, "a name has the ports of the wildcards above it as well: remove some")


def one_line(value: str) -> str:
    """Return *value* if it can be part of a message of one line."""
    if not value.isprintable() or not value.strip():
        reason = f"{described(value)} can't be shown in a line of text"
        raise _fault(reason, "write a name, such as acme")
    return value


def network(value: object) -> Network:
    """Read a network, or the network of a single address."""
    if not isinstance(value, str):
        reason = f"must be a network, not {described(value)}"
        raise _fault(reason, 'write it in quotes, such as "10.20.0.0/16"')
    hint = "write it as 10.20.0.0/16 or 2001:db8::/32; names go under hosts:"
    if "%" in value:
        raise _fault(f"{quoted(value)} has a zone", hint)
    try:
        found = ipaddress.ip_network(value, strict=False)
        address = ipaddress.ip_address(value.partition("/")[0])
    except ValueError as exc:
        raise _fault(f"{quoted(value)} is no network", hint) from exc
    if found.prefixlen == 0:
        raise _fault(f"{quoted(value)} would allow every address", "to deny nothing: mode: audit")
    if address != found.network_address:
        reason = f"{quoted(value)} has bits set after its first {found.prefixlen}"
        raise _fault(reason, f"write {found}, or {address} for that one address")
    return found


def networks(value: list[Network]) -> list[Network]:
    """Return the networks of a policy, unless all of them together are everything."""
    for family in (4, 6):
        parts = [each for each in (*value, *_NOWHERE) if each.version == family]
        whole = tuple(ipaddress.collapse_addresses(parts))  # type: ignore[type-var]  # of one family
        unicast = (each for each in _UNICAST if each.version == family)
        if all(any(each.subnet_of(one) for one in whole) for each in unicast):  # type: ignore[arg-type]
            reason = f"together allow every address of IPv{family}"
            raise _fault(reason, "to deny nothing: mode: audit")
    return value


def resolver(value: object) -> Address:
    """Read the address of a resolver."""
    hint = "write an address such as 10.0.0.53 or 2001:db8::53, without port"
    try:
        address = ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError as exc:
        raise _fault(f"{described(value)} is no address", hint) from exc
    if address.is_unspecified or address.is_multicast:
        raise _fault(f"{address} is not the address of one machine", hint)
    if address.is_link_local:
        # Packets carry no interface, and neither does what the kernel is told.
        raise _fault(f"{described(value)} is link-local", "write another address of the resolver")
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise _fault(f"{described(value)} has a zone", "write it without")
        if address.ipv4_mapped:
            raise _fault(f"{address} is an IPv4 address", f"write {address.ipv4_mapped}")
    return address


def _fault(reason: str, hint: str) -> Faulty:
    return Faulty(Fault((), reason, hint))
