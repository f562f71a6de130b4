"""Host names as operators write them: which are accepted, as what, and what the rest is told."""

from __future__ import annotations

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.host_and_port import parse_host
from enforcer.core.hostname import MAX_NAME, InvalidHostname, Pattern, parse_pattern

LABELS = st.from_regex(r"[a-z_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
NAMES = st.lists(LABELS, min_size=3, max_size=6).map(".".join)
PATTERNS = st.builds(
    lambda name, wildcard: parse_pattern(f"*.{name}" if wildcard else name), NAMES, st.booleans()
)
LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters


def name(text: str) -> dns.name.Name:
    """Return *text* as an absolute name."""
    return dns.name.from_text(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ghcr.io", "ghcr.io"),
        ("GHCR.io", "ghcr.io"),
        ("ghcr.io.", "ghcr.io"),
        ("localhost", "localhost"),
        ("_tcp.example.com", "_tcp.example.com"),
        ("r3---sn-a.example", "r3---sn-a.example"),
        ("10.example", "10.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example.", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("registry。example", "registry.example"),
        ("ｇｈｃｒ.io", "ghcr.io"),
        (LONGEST, LONGEST),
        ("*.example.com", "*.example.com"),
        ("*.Example.COM.", "*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.pkg.dev", "*.pkg.dev"),
        ("*.data.mcr.microsoft.com", "*.data.mcr.microsoft.com"),
        ("*.dkr.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.eu-west-1.amazonaws.com"),
        ("*.example.co.uk", "*.example.co.uk"),
        ("*.www.ck", "*.www.ck"),  # an exception of the Public Suffix List
        ("*.corp.internal", "*.corp.internal"),
    ],
)
def test_a_name_is_accepted_in_every_form(written: str, meant: str) -> None:
    """Case, trailing dot, Unicode and full width don't matter; the result is one form."""
    assert str(parse_pattern(written)) == meant


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "is empty"),
        (".", "empty label"),
        ("a..b", "empty label"),
        ("..a", "empty label"),
        ("a.b..", "empty label"),
        (".example.com", "begins with a dot"),
        (" ghcr.io", "is no host name"),
        ("gh cr.io", "is no host name"),
        ("gh\ncr.io", "is no host name"),
        ("-a.example", "is no host name"),
        ("a-.example", "is no host name"),
        ("a\\.example", "is no host name"),
        ("／.example", "is no host name"),
        ("a／b.example", "is no host name"),
        ("a:443", "is no host name"),
        ("xn--zz---a.example", "is no host name"),
        ("xn--.example", "is no host name"),
        ("i❤.example", "U+2764"),
        ("\u202eghcr.io", "U+202E"),
        ("a" * 64 + ".example", "is 64 characters long"),
        (f"{LONGEST}c", "is 254 characters long"),
        (f"*.{LONGEST}", "is 255 characters long"),
        ("a" * 300, "is 300 characters long"),
        ("ü" * 60 + ".example", "is no host name"),
        ("ü" * 100_000, "is 100000 characters long"),
        (".".join(["ü" * 30] * 8), "characters long"),
        ("10.0.0.1", "is an address"),
        ("１０.0.0.1", "is an address"),
        ("10.1", "looks like an address"),
        ("registry.1", "looks like an address"),
        ("*", "would allow every host"),
        ("*.", "would allow every host"),
        ("＊.example.com", "is no host name"),
        ("*.*.example.com", "has a *"),
        ("a.*.example.com", "has a *"),
        ("*a.example.com", "has a *"),
        ("*-docker.pkg.dev", "has a *"),
        ("*.com", "anyone can register"),
        ("*.COM.", "anyone can register"),
        ("*.co.uk", "anyone can register"),
        ("*.github.io", "anyone can register"),
        ("*.cloudfront.net", "anyone can register"),
        ("*.blob.core.windows.net", "anyone can register"),
        ("*.anything.ck", "anyone can register"),
        ("*.公司.cn", "anyone can register"),
        ("*.no-such-top-level-name", "anyone can register"),
        ("*.amazonaws.com", "such as those below s3.amazonaws.com"),
        ("*.core.windows.net", "such as those below web.core.windows.net"),
    ],
)
def test_what_is_no_name_or_too_wide_is_refused(written: str, reason: str) -> None:
    """Each has a reason that says what is wrong, and a hint."""
    with pytest.raises(InvalidHostname) as caught:
        parse_pattern(written)
    assert reason in caught.value.reason
    assert caught.value.hint


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("ghcr.io", "ghcr.io", None),
        ("registry.example:5000", "registry.example", 5000),
        ("*.example.com.:1", "*.example.com", 1),
        ("registry:65535", "registry", 65535),
    ],
)
def test_a_host_may_have_a_port(written: str, host: str, port: int | None) -> None:
    """`name[:port]`, as in the name of an image."""
    pattern, found = parse_host(written)
    assert (str(pattern), found) == (host, port)


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "-1", "+1", " 1", "1.5", "1_0", "４４３", "9" * 5000]
)
def test_a_port_is_a_number_in_range(port: str) -> None:
    """Anything else behind the colon is no port, however int() might read it."""
    with pytest.raises(InvalidHostname, match="is no port"):
        parse_host(f"ghcr.io:{port}")


@pytest.mark.parametrize(
    ("written", "reason", "hint"),
    [
        ("https://ghcr.io/v2/", "is a URL", "write ghcr.io"),
        ("HTTPS://GHCR.io", "is a URL", "write ghcr.io"),
        ("http://registry.example", "is a URL", "write registry.example:80"),
        ("http://registry.example:5000/v2", "is a URL", "write registry.example:5000"),
        ("https://user:pass@registry.example/?a#b", "is a URL", "write registry.example"),
        ("https://", "is a URL", "write the registry's name alone, such as ghcr.io"),
        ("https://10.0.0.1/", "is a URL", "write the registry's name alone, such as ghcr.io"),
        ("ghcr.io/acme/app:1.0", "is an image", "write ghcr.io"),
        ("ghcr.io/acme/app@sha256:0123", "is an image", "write ghcr.io"),
        ("registry:5000/app", "is an image", "write registry:5000"),
        ("library/nginx", "is an image", "list docker-hub under registries:"),
        ("me@ghcr.io", "is a user at a host", "write ghcr.io"),
        ("me:secret@ghcr.io:5000", "is a user at a host", "write ghcr.io:5000"),
        ("nginx@sha256:0123", "is an image", "list docker-hub under registries:"),
        ("nginx:latest", "is no port", "the tag of an image doesn't belong here"),
        ("10.0.0.1", "is an address", "use networks: [10.0.0.1/32]"),
        ("10.0.0.1:5000", "is an address", "use networks: [10.0.0.1/32]"),
        ("10.20.0.0/16", "is an address", "use networks: [10.20.0.0/16]"),
        ("10.20.0.1/16", "is an address", "use networks: [10.20.0.0/16]"),
        ("::1", "is an address", "use networks: [::1/128]"),
        ("[2001:db8::1]:5000", "is an address", "use networks: [2001:db8::1/128]"),
        ("[fe80::1%eth0]:5000", "is an address", "use networks: [fe80::1/128]"),
        ("fe80::1%\x1b", "is an address", "use networks: [fe80::1/128]"),
        ("2001:db8::/32", "is an address", "use networks: [2001:db8::/32]"),
        ("a:b:c", "is no name", "write the registry's name alone, such as ghcr.io"),
    ],
)
def test_what_is_not_a_host_is_told_what_to_write(written: str, reason: str, hint: str) -> None:
    """A URL, an image, an address or a network: the hint has what is meant."""
    with pytest.raises(InvalidHostname) as caught:
        parse_host(written)
    assert reason in caught.value.reason
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "accept", "reject"),
    [
        (
            "example.com",
            ["example.com", "EXAMPLE.com"],
            ["a.example.com", "com", "xexample.com", "example.com.evil.net"],
        ),
        (
            "*.example.com",
            ["a.example.com", "a.b.example.com", "A.Example.COM", "-_.example.com"],
            ["example.com", "com", "xexample.com", "a.example.com.evil.net", "aexample.com"],
        ),
    ],
)
def test_a_wildcard_means_all_names_below_but_not_its_own(
    pattern: str, accept: list[str], reject: list[str]
) -> None:
    """One or more labels below; whole labels, in any case."""
    parsed = parse_pattern(pattern)
    assert [qname for qname in accept if not parsed.matches(name(qname))] == []
    assert [qname for qname in reject if parsed.matches(name(qname))] == []


def test_too_wide_a_wildcard_is_accepted_where_a_preset_asks_for_it() -> None:
    """A preset's switch may open what an operator's typing may not."""
    assert str(parse_pattern("*.blob.core.windows.net", shared=True)) == "*.blob.core.windows.net"


@given(PATTERNS)
def test_a_pattern_prints_as_what_parses_to_it(pattern: Pattern) -> None:
    """`parse(str(p)) == p`."""
    assert parse_pattern(str(pattern)) == pattern


@given(PATTERNS, PATTERNS)
def test_the_sort_key_orders_as_domains_do(one: Pattern, other: Pattern) -> None:
    """The cheap key and the order of DNS (RFC 4034 section 6.1) agree, a wildcard coming after."""
    names = [(name(pattern.domain), pattern.wildcard) for pattern in (one, other)]
    assert (names[0] < names[1]) == (one.sort_key() < other.sort_key())
    assert (one == other) == (one.sort_key() == other.sort_key())


@pytest.mark.parametrize("domain", ["ghcr.io", "example.com"])
def test_a_dot_within_a_label_separates_nothing(domain: str) -> None:
    r"""DNS allows any octet in a label: `a\.ghcr.io` is below io, not below ghcr.io."""
    exact, below = Pattern(domain, wildcard=False), Pattern(domain, wildcard=True)
    first, last = domain.encode().split(b".")
    assert exact.matches(dns.name.Name((first, last, b"")))
    assert not exact.matches(dns.name.Name((domain.encode(), b"")))
    assert below.matches(dns.name.Name((b"a", first, last, b"")))
    assert not below.matches(dns.name.Name((b"a." + first, last, b"")))
    assert not exact.matches(dns.name.Name((first, last)))  # relative
    assert not exact.matches(dns.name.root)


@given(PATTERNS, PATTERNS, NAMES)
def test_a_pattern_matches_all_that_it_covers(one: Pattern, other: Pattern, below: str) -> None:
    """If one covers another, then it matches every name that the other matches."""
    qname = name(f"{below}.{other.domain}" if other.wildcard else other.domain)
    assert other.matches(qname)
    wider = Pattern(other.domain.partition(".")[2], wildcard=True)
    for pattern in (one, wider, other):
        if pattern.covers(other):
            assert pattern.matches(qname)
    assert wider.covers(other)


@given(st.text() | st.text(alphabet="a.*-:/@[]0xn？。ü", max_size=30))
def test_any_text_parses_or_is_invalid(text: str) -> None:
    """Nothing else is raised, what is accepted is short ASCII, and messages are one line."""
    invalid, pattern = None, None
    try:
        pattern, _ = parse_host(text)
    except InvalidHostname as exc:
        invalid = exc
    if invalid is not None:
        assert f"{invalid.reason}{invalid.hint}".isprintable()
    if pattern is not None:
        assert str(pattern).isascii()
        assert len(str(pattern)) <= MAX_NAME
        assert parse_pattern(str(pattern)) == pattern
