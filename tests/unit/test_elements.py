"""What an element may hold, and how the hosts it belongs to fit into its comment."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.elements import COMMENT_MAX, TimedElement, comment

LONG = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.registry.example"


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ((), ""),
        (("ghcr.io",), "ghcr.io"),
        (("*.pkg.dev", "ghcr.io"), "*.pkg.dev, ghcr.io"),
        (("a" * 60, "b" * 60, "c"), f"{'a' * 60}, {'b' * 60}, c"),
        (("a" * 60, "b" * 60, "c" * 10), f"{'a' * 60}, {'b' * 60}, +1"),
        (("a" * 60, "b" * 70, "c"), f"{'a' * 60}, +2"),
        ((LONG,), "..." + LONG[-124:]),
        ((LONG, "ghcr.io"), "..." + LONG[-120:] + ", +1"),
    ],
)
def test_comment_names_as_many_hosts_as_fit(hosts: tuple[str, ...], expected: str) -> None:
    """Hosts stand in order; those that do not fit are counted."""
    assert comment(hosts) == expected


@given(st.lists(st.text("abcxyz0123456789-.*", min_size=1, max_size=253), max_size=40))
def test_any_comment_can_be_written(hosts: list[str]) -> None:
    """However many and long the hosts, the comment is one that nft can read back."""
    text = comment(hosts)
    assert len(text) <= COMMENT_MAX
    assert TimedElement(ip_address("198.18.0.1"), 443, 1, text).comment == text


@pytest.mark.parametrize(
    ("port", "timeout_ms", "text"),
    [
        (0, 1, ""),
        (65536, 1, ""),
        (443, 0, ""),
        (443, -1, ""),
        (443, 1, 'a" } accept'),
        (443, 1, "two\nlines"),
        (443, 1, "nul\0"),
        (443, 1, "\N{LATIN SMALL LETTER U WITH DIAERESIS}"),
        (443, 1, "a" * 128),
    ],
)
def test_what_no_set_can_hold_is_refused(port: int, timeout_ms: int, text: str) -> None:
    """A bad element is found where it is made, not in the middle of a transaction."""
    with pytest.raises(ValueError, match=r"port|timeout|comment"):
        TimedElement(ip_address("198.18.0.1"), port, timeout_ms, text)
