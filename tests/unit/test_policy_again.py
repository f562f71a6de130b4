"""A policy file that is read again: what was valid before is not validated again, and no less."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.core.grants import Grants
from enforcer.core.known import ENTRY_KEYS
from enforcer.core.policy import Policy, parse_policy
from enforcer.core.policy_form import HostEntry
from enforcer.errors import PolicyError, PolicyProblem

HEAD = "version: 1\norganization: acme\nregistries: [docker-hub]\nhosts:\n"
# `ghcr.` is a host, while ghcr is a preset; port 1 is equal to true.
BEFORE = (
    "a.example",
    "b.example:5000",
    "'*.c.example'",
    "ghcr.",
    "one.example:1",
    "{host: d.example, ports: [443, 8443], private: true}",
    "{host: '*.e.example', ports: [5000]}",
    "under.c.example:80",
    "'two.example:1'",
    "two.example:2",
)
NAMES = st.sampled_from(
    (
        *("a.example", "b.example", "'*.c.example'", "ghcr", "ghcr.", "one.example", "d.example"),
        *("'*.e.example'", "under.c.example", "two.example", "A.Example", "docker-hub"),
        *("'*.docker.io'", "'*.com'", "docker.io", "true", "7", "a.example.", "[]", "new.example"),
    )
)
PORTS = st.sampled_from(
    ["443", "5000", "1", "true", "0443", "8443", "80", "'443'", "70000", "null"]
)
TEXTS = st.one_of(NAMES, st.builds("{}:{}".format, NAMES, PORTS))
MAPPINGS = st.builds(
    "{{host: {}{}{}{}}}".format,
    NAMES,
    st.one_of(
        st.just(""),
        st.lists(PORTS, max_size=3).map(lambda ports: f", ports: [{', '.join(ports)}]"),
        st.sampled_from([", ports: 443", ", ports: [[443]]", ", ports: null"]),
    ),
    st.sampled_from(["", ", private: true", ", private: false", ", private: 1", ", private: null"]),
    st.sampled_from(["", "", ", port: 443"]),
)


def read(entries: tuple[str, ...] | list[str], before: Grants | None) -> Policy | PolicyError:
    """Return the policy of *entries*, or why there is none."""
    text = HEAD + "".join(f"  - {entry}\n" for entry in entries)
    try:
        return parse_policy(text, "policy.yaml", before)
    except PolicyError as error:
        return error


def known() -> Grants:
    """Return the grants of BEFORE."""
    policy = read(BEFORE, None)
    assert isinstance(policy, Policy)
    return Grants(policy.hosts)


@settings(max_examples=500)
@given(st.lists(TEXTS | MAPPINGS, min_size=1, max_size=3))
def test_a_file_means_the_same_whatever_was_before(entries: list[str]) -> None:
    """The same policy, or the same problems in the same lines."""
    fresh, again = read(entries, None), read(entries, known())
    if isinstance(fresh, PolicyError):
        assert isinstance(again, PolicyError)
        assert again.problems == fresh.problems
    else:
        assert again == fresh


def test_keys_of_an_entry_are_those_of_its_form() -> None:
    """An entry with a key that is none must be validated, and refused, again."""
    assert frozenset(HostEntry.model_fields) == ENTRY_KEYS


def test_all_of_an_unchanged_file_is_used_again() -> None:
    """Or 100,000 hosts are validated, and there twice, at each reload."""
    grants = known()
    policy = read(BEFORE, grants)
    assert isinstance(policy, Policy)
    own = [host for host in policy.hosts if host.origin == "hosts"]
    # What a wildcard above or a second entry adds to is made anew.
    made_anew = {"under.c.example", "two.example"}
    kept = {str(host.pattern) for host in own if grants.of(host.pattern) is host}
    assert kept | made_anew == {str(host.pattern) for host in own}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("ghcr", '"ghcr" is a preset, not a host'),
        ("{host: one.example, ports: [true]}", "must be a port"),
        ("{host: d.example, ports: [443, 8443], private: 1}", "must be true or false"),
        ("{host: 'b.example:5000', ports: [5000]}", "has a port in its name"),
    ],
)
def test_what_only_resembles_a_known_host_is_a_mistake(entry: str, reason: str) -> None:
    """Each is equal to what was valid before, in Python or as a domain."""
    error = read([entry], known())
    assert isinstance(error, PolicyError)
    found: tuple[PolicyProblem, ...] = error.problems
    assert reason in found[0].reason
