"""What somebody asks about is read as Docker reads it, or as one would expect."""

from __future__ import annotations

import ipaddress

import pytest

from enforcer.core.hostname import InvalidHostname
from enforcer.core.target import Image, Name, Place, Target, parse_target

HUB = "registry-1.docker.io"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def place(address: str, port: int, image: str = "") -> Place:
    """Return the target of an address."""
    return Place(ipaddress.ip_address(address), port, image)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", Image(HUB, 443, "docker.io/library/nginx:latest")),
        ("nginx:1.25", Image(HUB, 443, "docker.io/library/nginx:1.25")),
        ("nginx:5000", Image(HUB, 443, "docker.io/library/nginx:5000")),
        ("bitnami/redis", Image(HUB, 443, "docker.io/bitnami/redis:latest")),
        ("docker.io/nginx", Image(HUB, 443, "docker.io/library/nginx:latest")),
        ("index.docker.io/a/b", Image(HUB, 443, "docker.io/a/b:latest")),
        ("docker.io/library/nginx", Image(HUB, 443, "docker.io/library/nginx:latest")),
        ("ghcr.io/a/b:1", Image("ghcr.io", 443, "ghcr.io/a/b:1")),
        ("host:5000/x", Image("host", 5000, "host:5000/x:latest")),
        (f"host:5000/x@{DIGEST}", Image("host", 5000, f"host:5000/x@{DIGEST}")),
        (f"ghcr.io/a/b:1@{DIGEST}", Image("ghcr.io", 443, f"ghcr.io/a/b:1@{DIGEST}")),
        ("localhost/x", Image("localhost", 443, "localhost/x:latest")),
        ("HOST/x", Image("host", 443, "HOST/x:latest")),
        ("docker://alpine", Image(HUB, 443, "docker.io/library/alpine:latest")),
        ("oci://ghcr.io/charts/x", Image("ghcr.io", 443, "ghcr.io/charts/x:latest")),
        ("ghcr.io", Name("ghcr.io", 443)),
        ("GHCR.io.", Name("ghcr.io", 443)),
        ("registry.example:5000", Name("registry.example", 5000)),
        ("localhost:5000", Name("localhost", 5000)),
        ("https://ghcr.io/v2/", Name("ghcr.io", 443)),
        ("http://user:word@ghcr.io:8080/v2/?a#b", Name("ghcr.io", 8080)),
        ("http://ghcr.io", Name("ghcr.io", 80)),
        ("192.0.2.1", place("192.0.2.1", 443)),
        ("192.0.2.1:22", place("192.0.2.1", 22)),
        ("2001:db8::1", place("2001:db8::1", 443)),
        ("[2001:db8::1]", place("2001:db8::1", 443)),
        ("[2001:db8::1]:22", place("2001:db8::1", 22)),
        ("https://192.0.2.1/", place("192.0.2.1", 443)),
        ("192.0.2.1:5000/x", place("192.0.2.1", 5000, "192.0.2.1:5000/x:latest")),
        ("docker://192.0.2.1/a/b:1", place("192.0.2.1", 443, "192.0.2.1/a/b:1")),
        (
            f"[2001:db8::1]:5000/x@{DIGEST}",
            place("2001:db8::1", 5000, f"[2001:db8::1]:5000/x@{DIGEST}"),
        ),
    ],
)
def test_a_target_is_read_as_its_user_means_it(text: str, expected: Target) -> None:
    """An image has its registry, tag and Docker Hub's `library`; the rest is a host."""
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no image"),
        ("Nginx", "is no image"),
        ("a/B", "is no image"),
        ("a//b", "is no image"),
        ("nginx:", "is no image"),
        (f"nginx:{'t' * 129}", "is no image"),
        ("nginx@sha256:1234", "is no image"),
        ("a/" * 150 + "b", "is no image"),
        ("ghcr.io/a b", "is no image"),
        ("*.ghcr.io", "is a pattern"),
        ("*.ghcr.io/x", "is no image"),
        ("ghcr.io:99999", "is no port"),
        ("192.0.2.1:99999", "is no port"),
        ("192.0.2.1:99999/x", "is no port"),
        ("192.0.2.1:5000/X", "is no image"),
        ("10.20.0.0/16", "is a network"),
        ("2001:db8::/32", "is a network"),
        ("[::1]:", "is no port"),
        ("ftp://ghcr.io", "scheme"),
        ("a..b", "empty label"),
        ("https://", "empty"),
        ("x\x1b[2J.example", r"\x1b"),
    ],
)
def test_what_is_no_target_is_one_clear_error(text: str, reason: str) -> None:
    """With what is wrong, and nothing that a terminal obeys."""
    with pytest.raises(InvalidHostname) as caught:
        parse_target(text)
    assert reason in caught.value.reason
    assert caught.value.reason.isprintable()
    assert caught.value.hint
