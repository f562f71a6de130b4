"""What `enforcer hosts` lists."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from enforcer.core.asked import parse_asked
from enforcer.core.grants import Grants
from enforcer.core.holders import Binding
from enforcer.core.hostname import InvalidHostname, parse_pattern
from enforcer.core.policy import parse_policy
from enforcer.core.promises import Origin
from enforcer.daemon.in_force import InForce
from enforcer.daemon.views import hosts_view

POLICY = parse_policy(
    'version: 1\norganization: acme\nhosts: [ghcr.io, quay.io, "*.cdn.example.com"]\n', "p"
)
IN_FORCE = InForce(POLICY, Grants(POLICY.hosts), (), (), 0.0)
BINDINGS = tuple(
    Binding(host, ip_address("203.0.113.1"), (443,), 100.0, (Origin.ANSWER,))
    for host in ("a.cdn.example.com", "ghcr.io")
)


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        (None, ["*.cdn.example.com", "a.cdn.example.com", "ghcr.io", "quay.io"]),
        ("ghcr.io", ["ghcr.io"]),
        ("quay.io", ["quay.io"]),
        ("new.cdn.example.com", ["new.cdn.example.com"]),
        ("*.cdn.example.com", ["*.cdn.example.com", "a.cdn.example.com"]),
        ("*.io", ["ghcr.io", "quay.io"]),
        ("docker.io", []),
        ("cdn.example.com", []),
        ("*", ["*.cdn.example.com", "a.cdn.example.com", "ghcr.io", "quay.io"]),
        ("ghcr.io:443", ["ghcr.io"]),
        ("203.0.113.1", ["a.cdn.example.com", "ghcr.io"]),
        ("203.0.113.1:443", ["a.cdn.example.com", "ghcr.io"]),
        ("203.0.113.2", []),
        ("2001:db8::1", []),
        ("[2001:db8::1]:443", []),
    ],
)
def test_permitted_hosts_are_listed(wanted: str | None, listed: list[str]) -> None:
    """What the policy lists always, names below a wildcard when seen or asked for.

    Of an address, what it is open for; with a port or a lone *, "no host name" was all.
    """
    asked = None if wanted is None else parse_asked(wanted)
    document = hosts_view(IN_FORCE, BINDINGS, asked, now=40.0)
    assert [entry["host"] for entry in document["hosts"]] == listed


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://ghcr.io/v2/", "write ghcr.io"),
        ("ghcr.io/acme/app:1", "write ghcr.io"),
        ("me@ghcr.io", "write ghcr.io"),
        ("ghcr.io:https", "a name has letters"),
        ("", "write a name"),
    ],
)
def test_what_is_no_host_is_answered_with_what_to_write(text: str, hint: str) -> None:
    """Whatever people have at hand when a pull fails."""
    with pytest.raises(InvalidHostname) as refused:
        parse_asked(text)
    assert refused.value.hint.startswith(hint)


def test_an_address_shows_its_ports_its_lifetime_and_its_origin() -> None:
    """Everything known of an address is in its entry."""
    (entry,) = hosts_view(IN_FORCE, BINDINGS, parse_pattern("ghcr.io"), now=40.0)["hosts"]
    assert entry["addresses"] == [
        {"address": "203.0.113.1", "ports": [443], "expires_s": 60, "learned": ["answer"]}
    ]
