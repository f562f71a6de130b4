"""What somebody asks about: an image as Docker reads it, a host, a URL or an address.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from enforcer.core.addresses import Address
from enforcer.core.host_and_port import HTTPS, SCHEME, parse_host, parse_port
from enforcer.core.hostname import InvalidHostname
from enforcer.core.wording import quoted

# The reference grammar of https://github.com/distribution/reference (regexp.go).
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
_IMAGE = re.compile(rf"({_COMPONENT}(?:/{_COMPONENT})*)(?::({_TAG}))?(?:@({_DIGEST}))?")
_MAX_REPOSITORY = 255

# What Docker takes an image without a registry for, and the name that serves it.
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io"})
_DOCKER_HUB_API = "registry-1.docker.io"
_OFFICIAL = "library"

# Tools write images as URLs: skopeo, podman, helm.
_IMAGE_SCHEMES = frozenset({"docker", "oci", "registry"})
_PORTS = {"http": 80, "https": HTTPS}


@dataclass(frozen=True)
class Image:
    """An image, or what all images of a repository have in common.

    Attributes:
        host: serves the registry's API; Docker Hub's is not what users write.
        port: TCP.
        name: the reference in full, as Docker completes it.
    """

    host: str
    port: int
    name: str


@dataclass(frozen=True)
class Name:
    """A host by name, and a TCP port of it."""

    host: str
    port: int


@dataclass(frozen=True)
class Place:
    """A host by address, and a TCP port of it.

    Attributes:
        image: the reference in full of one that its registry has; empty: of none.
    """

    address: Address
    port: int
    image: str = ""


Target: TypeAlias = Image | Name | Place


def parse_target(text: str) -> Target:
    """Read what somebody asks about.

    A word without dot, colon or slash is an image of Docker Hub, as for `docker pull`;
    with a dot it is a host.

    Raises:
        InvalidHostname: it is none of them.
    """
    if _is_network(text):
        raise InvalidHostname(f"{quoted(text)} is a network", "ask about an address of it")
    scheme = SCHEME.match(text)
    if scheme is None:
        return _place(text, HTTPS) or _image_or_name(text)
    kind, rest = scheme[1].lower(), text[scheme.end() :]
    if kind in _IMAGE_SCHEMES:
        return _image(rest, text)
    if kind not in _PORTS:
        raise InvalidHostname(
            f"{quoted(text)} has a scheme that no registry has", "write https:// or no scheme"
        )
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return _place(host, _PORTS[kind]) or _name(host, _PORTS[kind])


def api_host(registry: str) -> str:
    """Return the name that serves the API of what users write as *registry*."""
    return _DOCKER_HUB_API if registry in _DOCKER_HUB else registry


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _image_or_name(text: str) -> Target:
    host = text.partition(":")[0]
    if "/" in text or "@" in text or not ("." in host or host == "localhost"):
        return _image(text, text)
    return _name(text, HTTPS)


def _name(text: str, port: int) -> Name:
    pattern, written = parse_host(text)
    if pattern.wildcard:
        raise InvalidHostname(f"{quoted(text)} is a pattern", "ask about a name that it matches")
    return Name(pattern.domain, written or port)


def _place(text: str, port: int) -> Place | None:
    found = re.fullmatch(r"\[([^]]*)\](?::([^/]*))?", text) or re.fullmatch(r"([\d.]+):(\d*)", text)
    try:
        address = ipaddress.ip_address(found[1] if found else text)
    except ValueError:
        return None
    return Place(address, parse_port(found[2]) if found and found[2] is not None else port)


def _image(text: str, shown: str) -> Image | Place:
    """Read *text*, in messages *shown*, as Docker reads what is to be pulled."""
    registry, slash, rest = text.partition("/")
    # As in Docker: without one of these the first part is a user of Docker Hub.
    if not slash or not (re.search(r"[.:A-Z]", registry) or registry == "localhost"):
        registry, rest = "docker.io", text
    found = _IMAGE.fullmatch(rest)
    if found is None or len(found[1]) > _MAX_REPOSITORY:
        raise InvalidHostname(
            f"{quoted(shown)} is no image, host, URL or address",
            "write an image as for docker pull, such as ghcr.io/a/b:1",
        )
    repository = found[1]
    tag = f":{found[2]}" if found[2] else "" if found[3] else ":latest"
    version = f"{tag}@{found[3]}" if found[3] else tag
    if place := _place(registry, HTTPS):
        return replace(place, image=f"{registry}/{repository}{version}")
    pattern, port = parse_host(registry)
    if pattern.wildcard:
        raise InvalidHostname(f"{quoted(shown)} is no image", "a registry has one name")
    host = api_host(pattern.domain)
    if host != pattern.domain:
        registry = "docker.io"
        if "/" not in repository:
            repository = f"{_OFFICIAL}/{repository}"
    return Image(host, port or HTTPS, f"{registry}/{repository}{version}")
