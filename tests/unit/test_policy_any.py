"""Policy files of any content: a policy or a PolicyError, and messages fit for a terminal."""

from __future__ import annotations

import ipaddress
import re

import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from enforcer.core.mistakes import PLACES
from enforcer.core.policy import Policy, parse_policy
from enforcer.errors import PolicyError

# Of IPv6; what has it all is refused.
UNICAST = ipaddress.IPv6Network("2000::/3")
HEAD = "version: 1\norganization: acme\n"
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.sampled_from(["ghcr", "ecr", "*", "*.a.b", "a.b", "a.b:5", "10.0.0.1", "system", "audit"]),
    st.text(max_size=8),
)
KEYS = st.sampled_from(
    [str(step) for place in PLACES for step in place] + ["ecr", "ghcr", "account", "region"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def check(text: str) -> Policy | None:
    """Parse *text*; whatever it is, only PolicyError is raised, and it can be printed."""
    try:
        return parse_policy(text, "policy.yaml")
    except PolicyError as exc:
        found = exc.problems
    assert found
    lines = len(re.findall("[\n\r\x85\u2028\u2029]", text)) + 1
    for problem in found:
        assert 0 <= problem.line <= lines
        assert problem.reason
        assert problem.hint
        assert str(problem).isprintable()
    return None


@given(st.text())
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """No text makes anything but PolicyError, and messages are safe for a terminal."""
    check(text)


@given(st.text(alphabet="ab:-[]{}&*!#|>'\"%@`,? \n\t\\01e", max_size=60))
def test_any_yaml_like_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """The same for text that is nearly YAML."""
    check(HEAD + text)


@settings(max_examples=300)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans())
def test_any_document_is_a_policy_or_a_policy_error(
    document: dict[str, object],
    flow: bool,
) -> None:
    """The same for documents of any shape, in YAML of any style."""
    text = yaml.safe_dump(
        {"version": 1, "organization": "acme", **document},
        default_flow_style=flow,
        allow_unicode=True,
    )
    policy = check(text)
    if policy is not None:
        assert not any(network.prefixlen == 0 for network in policy.networks)
        assert all(1 <= len(host.ports) <= 16 for host in policy.hosts)


@given(st.ip_addresses(), st.integers(1, 128))
@example(ipaddress.IPv4Address("0.0.0.1"), 1)
@example(ipaddress.IPv6Address("::1"), 4)
def test_the_network_suggested_is_accepted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    """What the hint says to write instead of host bits is valid, and has the address in it."""
    prefix = min(prefix, address.max_prefixlen)
    meant = ipaddress.ip_network((address, prefix), strict=False)
    assume(isinstance(meant, ipaddress.IPv4Network) or not UNICAST.subnet_of(meant))
    try:
        policy = parse_policy(f"{HEAD}networks: ['{address}/{prefix}']", "policy.yaml")
    except PolicyError as exc:
        [problem] = exc.problems
        suggested = problem.hint.removeprefix("write ").partition(",")[0]
        policy = parse_policy(f"{HEAD}networks: ['{suggested}']", "policy.yaml")
    [network] = policy.networks
    assert address in network
    assert network.prefixlen == prefix
