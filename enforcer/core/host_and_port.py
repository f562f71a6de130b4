"""A host as a policy file names it: a pattern, and perhaps a port; nothing else.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import re

from enforcer.core.hostname import InvalidHostname, Pattern, parse_pattern, refuse_address
from enforcer.core.wording import quoted

MAX_PORT = 65535  # RFC 9293 section 3.1
HTTPS = 443  # RFC 9110 section 4.2.2
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
# Of an image (OCI image-spec, descriptor.md, registered algorithms).
_DIGEST = re.compile(r"@sha\d+:")
NAME_ALONE = "write the registry's name alone, such as ghcr.io"


def parse_host(text: str) -> tuple[Pattern, int | None]:
    """Parse ``name[:port]``.

    Raises:
        InvalidHostname: if it is neither, with the name to write instead for an
            address, a URL or an image reference.
    """
    if "/" in text or "@" in text:
        raise _no_host(text)
    if text.startswith("[") or text.count(":") > 1:
        refuse_address(text, text.partition("]")[0].removeprefix("["))
        raise InvalidHostname(f"{quoted(text)} is no name", NAME_ALONE)
    name, colon, port = text.partition(":")
    pattern = parse_pattern(name)
    return pattern, parse_port(port) if colon else None


def parse_port(text: str) -> int:
    """Parse a TCP port.

    Raises:
        InvalidHostname: if it is none.
    """
    # The length first: int() takes its time over a thousand digits.
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT)):
        port = int(text)
        if 1 <= port <= MAX_PORT:
            return port
    raise InvalidHostname(
        f"{quoted(text)} is no port",
        f"a port is a number from 1 to {MAX_PORT}; the tag of an image doesn't belong here",
    )


def _no_host(text: str) -> InvalidHostname:
    """Explain a URL, an image reference, a user or a network: all have more than a host."""
    refuse_address(text, text)
    scheme = SCHEME.match(text)
    user = not scheme and "@" in text and not _DIGEST.search(text)
    what = "a URL" if scheme else "a user at a host" if user else "an image or a path"
    rest = text[scheme.end() :] if scheme else text
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = host.rpartition("@")[2] if scheme or user else host.partition("@")[0]
    if (
        not scheme
        and (_DIGEST.search(text) or "/" in text)
        and not re.search(r"[.:]|^localhost$", host)
    ):
        hint = "an image without a registry is Docker Hub's: list docker-hub under registries:"
    else:
        hint = NAME_ALONE
        try:
            pattern, port = parse_host(host)
        except InvalidHostname:
            pass
        else:
            if port is None and scheme and scheme[1].lower() == "http":
                port = 80
            hint = f"write {pattern}" + (f":{port}" if port else "")
    return InvalidHostname(f"{quoted(text)} is {what}, not a host", hint)
