"""What somebody asks `enforcer hosts` for. Pure: no I/O, no clock."""

from __future__ import annotations

import ipaddress

from enforcer.core.addresses import Address
from enforcer.core.host_and_port import parse_host
from enforcer.core.hostname import Pattern, parse_pattern


def parse_asked(text: str) -> Pattern | Address | None:
    """Parse a host, a wildcard or an address as people have it at hand, with a port or not.

    Args:
        text: such as ``ghcr.io:443``; ``*`` for all hosts, which are None.

    Raises:
        InvalidHostname: it is none of them.
    """
    if text in {"*", "*."}:
        return None
    if "/" in text or "@" in text:
        parse_host(text)  # says what to write instead of a URL or an image
    name, _, port = text.rpartition(":")
    if name and port.isdigit() and (":" not in name or name.endswith("]")):
        text = name
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return parse_pattern(text, shared=True)
