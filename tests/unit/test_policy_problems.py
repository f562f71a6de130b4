"""Policy files that are wrong: every problem at once, each with line, key, reason and hint."""

from __future__ import annotations

import pytest

from enforcer.core.mistakes import PLACES
from enforcer.core.policy import parse_policy
from enforcer.core.policy_form import PolicyFile
from enforcer.errors import PolicyError, PolicyProblem

HEAD = "version: 1\norganization: acme\n"  # two lines


def problems(text: str) -> tuple[PolicyProblem, ...]:
    """Return what is wrong with the policy *text*."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "policy.yaml")
    return caught.value.problems


def only_problem(text: str) -> PolicyProblem:
    """Return the one thing that is wrong with the policy *text*."""
    [problem] = problems(text)
    return problem


@pytest.mark.parametrize(
    ("text", "line", "reason", "hint"),
    [
        ("", 0, "the file is empty", "enforcer policy init --force"),
        ("# nothing\n", 0, "the file is empty", "enforcer policy init --force"),
        ("---\n...\n", 0, "the file is empty", "enforcer policy init --force"),
        ("a: b: c\n", 1, "not YAML", "the space after each colon"),
        (HEAD + "hosts: [a.example\nmode: audit\n", 4, "not YAML", "check the indentation"),
        (HEAD + "hosts: [\n", 3, "not YAML", "check the indentation"),
        (HEAD + "hosts:\n\t- a.example\n", 4, "not YAML", "spaces, not tabs"),
        (HEAD + "hosts:\n  - *.pkg.dev\n", 4, "not YAML", 'in quotes: "*.example.com"'),
        (HEAD + "hosts:\n  - *\n", 4, "not YAML", 'in quotes: "*.example.com"'),
        (HEAD + 'mode: "audit\n', 3, "not YAML", "the quotes"),
        (HEAD + "hosts: [a\x00]\n", 3, "U+0000", "remove it"),
        ("ä: ä\nb: \x07\n", 2, "U+0007", "remove it"),
        ("a: b\nc: \ud800\n", 2, "U+D800", "remove it"),
        (HEAD + "---\nmode: audit\n", 3, "a second YAML document begins", "remove"),
        ("[" * 100_000, 1, "too many levels of nesting", "at most"),
        ("a: " + "{a: " * 100_000, 1, "too many levels of nesting", "at most"),
        ("- " * 100_000, 1, "too many levels of nesting", "at most"),
        ("!!python/object/apply:os.getcwd []", 1, "is a YAML tag", "write the value out"),
        ("just text", 0, "must be a mapping", "version: 1"),
        ("- version: 1", 1, "must be a mapping", "version: 1"),
    ],
)
def test_what_is_no_document_is_one_problem(text: str, line: int, reason: str, hint: str) -> None:
    """Empty, no YAML, or YAML that no policy has: told with the line, and not more than that."""
    problem = only_problem(text)
    assert (problem.line, reason in problem.reason, hint in problem.hint) == (line, True, True)


@pytest.mark.parametrize(
    ("body", "line", "key", "reason", "hint"),
    [
        # keys
        ("moed: audit", 3, "moed", "is no key", "did you mean mode?"),
        ("dns:\n  min_tll: 5", 4, "dns.min_tll", "is no key", "did you mean min_ttl?"),
        ("dns: {x: 5}", 3, "dns.x", "is no key", "known here: min_ttl, grace"),
        ("<<: {mode: audit}", 3, "<<", "is no key", "known here: version"),
        ("hosts: [{host: a.b, port: 5}]", 3, "hosts[0].port", "is no key", "did you mean ports?"),
        ("mapping: 1", 3, "mapping", "is no key", "known here"),
        ("mode: audit\nhosts: []\nmode: enforce", 5, "", "first in line 3", "keep one"),
        ("dns:\n  grace: 1\n  grace: 2", 5, "dns", '"grace" is there twice', "keep one"),
        ("5: x", 3, "", "a key must be text", "quote it"),
        ("[a]: x", 3, "", "a key must be text", "quote it"),
        ("hosts: &a [a.b]\nnetworks: *a", 4, "networks", "is a YAML alias", "in quotes if"),
        ("hosts: &a [*a]", 3, "hosts[0]", "is a YAML alias", "in quotes if"),
        ("hosts: !!set {a.b}", 3, "hosts", "is a YAML tag", "write the value out"),
        ("mode: !x audit", 3, "mode", "is a YAML tag", "write the value out"),
        # mode
        ("mode: off", 3, "mode", 'must be enforce or audit, not "off"', "mode: enforce"),
        ("mode: [audit]", 3, "mode", "must be enforce or audit, not a list", "mode: enforce"),
        ("mode:", 3, "mode", "must be enforce or audit, not nothing", "mode: enforce"),
        # registries
        ("registries: ghcr", 3, "registries", 'must be a list of presets, not "ghcr"', "[docker"),
        ("registries: {ecr: {}}", 3, "registries", "must be a list of presets", "[docker-hub"),
        ("registries:\n- ghrc", 4, "registries[0]", "is no preset", "did you mean ghcr?"),
        ("registries:\n- ghcr\n- ecr", 5, "registries[1]", "needs account and region", "account:"),
        (
            "registries:\n- ecr:\n    account: '1'\n    region: eu-west-1",
            5,
            "registries[0].ecr.account",
            "must be the 12 digits",
            '"123456789012"',
        ),
        (
            "registries:\n- ecr:\n  account: '123456789012'\n  region: eu-west-1",
            4,
            "registries[0]",
            "a mapping of 3 keys",
            "indent the parameters",
        ),
        # hosts
        ("hosts: ghcr.io", 3, "hosts", 'must be a list of hosts, not "ghcr.io"', "write hosts: ["),
        ("hosts: {ghcr.io: 443}", 3, "hosts", "must be a list of hosts", "write hosts: ["),
        ("hosts:\n- a.b\n- ''", 5, "hosts[1]", "the name is empty", "such as ghcr.io"),
        ("hosts:\n- a.b\n-", 5, "hosts[1]", "not nothing", "registry.example.com:5000"),
        ("hosts: [5000]", 3, "hosts[0]", "must be a name, or a mapping with host", "registry."),
        ("hosts: [[a.b]]", 3, "hosts[0]", "not a list", "registry.example.com:5000"),
        ("hosts: [ghcr]", 3, "hosts[0]", '"ghcr" is a preset', "under registries:"),
        ("hosts: ['*']", 3, "hosts[0]", '"*" would allow every host', "*.example.com"),
        ("hosts: ['*.com']", 3, "hosts[0]", "anyone can register", "name the hosts"),
        (f"hosts: [{'a' * 300}]", 3, "hosts[0]", "is 300 characters long", "253"),
        ("hosts: ['a.b:0']", 3, "hosts[0]", '"0" is no port', "from 1 to 65535"),
        ("hosts: ['a.b:65536']", 3, "hosts[0]", '"65536" is no port', "from 1 to 65535"),
        ("hosts: [10.0.0.1]", 3, "hosts[0]", "is an address", "use networks: [10.0.0.1/32]"),
        ("hosts: ['https://a.b/c']", 3, "hosts[0]", "is a URL", "write a.b"),
        ("hosts:\n- a.b: 5000", 4, "hosts[0]", "the key host is missing", '"a.b:5000"'),
        ("hosts:\n- ports: [5]", 4, "hosts[0]", "the key host is missing", "write host:"),
        ("hosts: [{}]", 3, "hosts[0]", "the key host is missing", "write host:"),
        ("hosts:\n- ports: [5]\n  host: 5", 5, "hosts[0].host", "must be a name, not 5", "ghcr.io"),
        ("hosts: [{host: }]", 3, "hosts[0].host", "must be a name, not nothing", "ghcr.io"),
        ("hosts: [{host: '*.com'}]", 3, "hosts[0].host", "anyone can register", "name the hosts"),
        ("hosts: [{host: quay}]", 3, "hosts[0].host", "is a preset", "under registries:"),
        ("hosts: [{host: 'a.b:5'}]", 3, "hosts[0].host", "has a port", "ports: [5]"),
        ("hosts: [{host: a.b, ports: 5}]", 3, "hosts[0].ports", "must be a list of ports", "[443]"),
        ("hosts: [{host: a.b, ports: []}]", 3, "hosts[0].ports", "not an empty list", "[443]"),
        ("hosts: [{host: a.b, ports: }]", 3, "hosts[0].ports", "not nothing", "[443]"),
        (
            "hosts:\n- host: a.b\n  ports:\n  - 443\n  - 0",
            7,
            "hosts[0].ports[1]",
            "from 1 to 65535, not 0",
            "[443]",
        ),
        ("hosts: [{host: a.b, ports: [65536]}]", 3, "hosts[0].ports[0]", "not 65536", "[443]"),
        ("hosts: [{host: a.b, ports: [true]}]", 3, "hosts[0].ports[0]", "not true", "[443]"),
        ("hosts: [{host: a.b, ports: ['5']}]", 3, "hosts[0].ports[0]", 'not "5"', "[443]"),
        ("hosts: [{host: a.b, ports: [4.5]}]", 3, "hosts[0].ports[0]", 'not "4.5"', "[443]"),
        ("hosts: [{host: a.b, ports: [010]}]", 3, "hosts[0].ports[0]", 'not "010"', "[443]"),
        (
            f"hosts: [{{host: a.b, ports: [{'9' * 5000}]}}]",
            3,
            "hosts[0].ports[0]",
            "must be a port",
            "[443]",
        ),
        (
            f"hosts:\n- host: a.b\n  ports: {list(range(1, 18))}",
            5,
            "hosts[0].ports",
            "17 different ports, a host can have 16",
            "remove some",
        ),
        ("hosts: [{host: a.b, private: yes}]", 3, "hosts[0].private", 'not "yes"', "private: true"),
        ("hosts: [{host: a.b, private: 1}]", 3, "hosts[0].private", "not 1", "private: true"),
        # networks
        ("networks: 10.0.0.0/8", 3, "networks", "must be a list of networks", "[10.20.0.0/16]"),
        ("networks:\n- 10.20.1.0/16", 4, "networks[0]", "bits set", "write 10.20.0.0/16"),
        ("networks: ['2001:db8::1/32']", 3, "networks[0]", "bits set", "write 2001:db8::/32"),
        ("networks: [a.example]", 3, "networks[0]", "is no network", "names go under hosts:"),
        ("networks: [10.0.0.0/33]", 3, "networks[0]", "is no network", "10.20.0.0/16"),
        ("networks: ['fe80::1%eth0']", 3, "networks[0]", "has a zone", "10.20.0.0/16"),
        ("networks: ['']", 3, "networks[0]", "is no network", "10.20.0.0/16"),
        ("networks: [10]", 3, "networks[0]", "must be a network, not 10", "in quotes"),
        ("networks: [0.0.0.0/0]", 3, "networks[0]", "would allow every address", "mode: audit"),
        (
            "networks: [0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3]",
            3,
            "networks",
            "together allow every address of IPv4",
            "mode: audit",
        ),
        (
            "networks: ['2000::/4', '3000::/4']",
            3,
            "networks",
            "together allow every address of IPv6",
            "mode: audit",
        ),
        (
            "networks: [128.0.0.0/1, '::/1', 0.0.0.0/1]",
            3,
            "networks",
            "together allow every address of IPv4",
            "mode: audit",
        ),
        ("networks: ['8000::/1', '::/1']", 3, "networks", "address of IPv6", "mode: audit"),
        ("networks: ['::/0']", 3, "networks[0]", "would allow every address", "mode: audit"),
        # resolvers
        ("resolvers: 10.0.0.53", 3, "resolvers", 'not "10.0.0.53"', "resolvers: [10.0.0.53]"),
        ("resolvers: []", 3, "resolvers", "not an empty list", "resolvers: system"),
        ("resolvers: {a: b}", 3, "resolvers", "not a mapping", "resolvers: system"),
        ("resolvers:\n- 10.0.0.53\n- dns.corp", 5, "resolvers[1]", "is no address", "10.0.0.53"),
        ("resolvers: ['10.0.0.53:53']", 3, "resolvers[0]", "is no address", "without port"),
        ("resolvers: [10.0.0.0/8]", 3, "resolvers[0]", "is no address", "10.0.0.53"),
        ("resolvers: [167772213]", 3, "resolvers[0]", "is no address", "10.0.0.53"),
        ("resolvers: [0.0.0.0]", 3, "resolvers[0]", "of one machine", "10.0.0.53"),
        ("resolvers: ['ff02::fb']", 3, "resolvers[0]", "of one machine", "10.0.0.53"),
        ("resolvers: ['fe80::1%eth0']", 3, "resolvers[0]", "is link-local", "another address"),
        ("resolvers: ['169.254.169.253']", 3, "resolvers[0]", "is link-local", "another address"),
        ("resolvers: ['2001:db8::1%eth0']", 3, "resolvers[0]", "has a zone", "without"),
        ("resolvers: ['::ffff:10.0.0.1']", 3, "resolvers[0]", "IPv4", "write 10.0.0.1"),
        # dns
        ("dns: 60", 3, "dns", "must be a mapping with min_ttl and grace, not 60", "min_ttl: 60"),
        ("dns:\n  grace: -1", 4, "dns.grace", "from 0 to 86400, not -1", "grace: 300"),
        ("dns: {min_ttl: 86401}", 3, "dns.min_ttl", "from 0 to 86400, not 86401", "min_ttl: 60"),
        ("watch: yes", 3, "watch", 'not "yes"', "watch: true"),
        ("metrics: 9653", 3, "metrics", "a mapping with port", "metrics: {port: 9653}"),
        ("metrics: {}", 3, "metrics.port", "port", "port"),
        ("metrics: {port: 0}", 3, "metrics.port", "from 1024 to 65535, not 0", "{port: 9653}"),
        ("metrics: {port: 1023}", 3, "metrics.port", "from 1024 to", "{port: 9653}"),
        ("metrics: {port: true}", 3, "metrics.port", "a port", "{port: 9653}"),
        ("metrics: {port: 9653, address: 0.0.0.0}", 3, "metrics.address", "address", ""),
        ("watch: 1", 3, "watch", "not 1", "watch: true"),
        ("dns: {min_ttl: true}", 3, "dns.min_ttl", "a number of seconds", "min_ttl: 60"),
        ("dns: {min_ttl: 5m}", 3, "dns.min_ttl", "a number of seconds", "min_ttl: 60"),
    ],
)
def test_a_wrong_value_is_one_problem(
    body: str, line: int, key: str, reason: str, hint: str
) -> None:
    """Each wrong value in an otherwise valid policy is told once, where it is."""
    problem = only_problem(HEAD + body)
    assert (problem.line, problem.key) == (line, key)
    assert reason in problem.reason
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "line", "key", "reason"),
    [
        ("organization: acme", 1, "version", "missing, must be the number 1"),
        ("\n# text\norganization: acme", 3, "version", "missing, must be the number 1"),
        ("version: 2\norganization: acme", 1, "version", "must be the number 1, not 2"),
        ("version: '1'\norganization: acme", 1, "version", 'must be the number 1, not "1"'),
        ("version: 1.0\norganization: acme", 1, "version", "must be the number 1"),
        ("version: true\norganization: acme", 1, "version", "must be the number 1, not true"),
        ("version:\norganization: acme", 1, "version", "must be the number 1, not nothing"),
        ("version: 1", 1, "organization", "missing, must be a name"),
        ("version: 1\norganization: 5", 2, "organization", "must be a name"),
        ("version: 1\norganization: ''", 2, "organization", "must be a name"),
        ("version: 1\norganization: ' '", 2, "organization", "can't be shown"),
        ('version: 1\norganization: "a\\nb"', 2, "organization", "can't be shown"),
        ('version: 1\norganization: "\\e[31m"', 2, "organization", "can't be shown"),
        (f"version: 1\norganization: {'a' * 101}", 2, "organization", "1 to 100 characters"),
    ],
)
def test_the_first_two_keys_are_needed(text: str, line: int, key: str, reason: str) -> None:
    """A policy says its version, and whose it is."""
    problem = only_problem(text)
    assert (problem.line, problem.key, reason in problem.reason) == (line, key, True)


def test_all_problems_come_at_once_in_order_of_lines() -> None:
    """One in every section, a duplicate key, and two in one entry."""
    text = """\
version: 2
organization: acme
mode: lenient
registries: [ghrc]
hosts:
  - "*"
  - host: ghcr.io
    ports: [0]
    private: maybe
networks: [10.20.1.0/16]
mode: audit
resolvers: [nobody]
dns: {grace: long}
sdn: {}
"""
    assert [(problem.line, problem.key) for problem in problems(text)] == [
        (1, "version"),
        (3, "mode"),
        (4, "registries[0]"),
        (6, "hosts[0]"),
        (8, "hosts[1].ports[0]"),
        (9, "hosts[1].private"),
        (10, "networks[0]"),
        (11, ""),
        (12, "resolvers[0]"),
        (13, "dns.grace"),
        (14, "sdn"),
    ]


def test_a_message_names_file_line_key_reason_and_hint() -> None:
    """The text of the error is one line for each problem, as the operator reads it."""
    text = HEAD + "hosts:\n- ghcr.io\n- '*'\nmode: 5\n"
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "/etc/enforcer/policy.yaml")
    assert str(caught.value) == (
        'policy /etc/enforcer/policy.yaml:5: hosts[1]: "*" would allow every host'
        " (hint: name the registry, or use *.example.com)\n"
        "policy /etc/enforcer/policy.yaml:6: mode: must be enforce or audit, not 5"
        " (hint: write mode: enforce)"
    )


@pytest.mark.parametrize(
    ("entries", "line", "host"),
    [
        ([f"a.example:{port}" for port in range(1, 18)], 20, "a.example"),
        (["x.a.example", *(f"'*.a.example:{port}'" for port in range(1, 17))], 4, "x.a.example"),
        (["'*.x.example'", *(f"'*.example.example:{p}'" for p in range(1, 17))], None, None),
    ],
)
def test_ports_are_counted_after_merging(
    entries: list[str], line: int | None, host: str | None
) -> None:
    """Entries for one host, and wildcards above it, count together; other hosts don't."""
    text = HEAD + "hosts:\n" + "".join(f"- {entry}\n" for entry in entries)
    if line is None:
        parse_policy(text, "policy.yaml")
        return
    problem = only_problem(text)
    assert problem.line == line
    assert f"{host} has 17 different ports, a host can have 16" in problem.reason


def test_every_key_has_words_for_what_it_must_be() -> None:
    """A key added to the form of a policy file must be added to the messages."""
    told = {place[0] for place in PLACES if place}
    assert told == set(PolicyFile.model_fields)
