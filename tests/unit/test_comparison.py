"""What differs between two policies, as whoever reviews a change wants to see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.cli.main import cli
from enforcer.core.comparison import Comparison, compare
from enforcer.core.policy import parse_policy
from enforcer.errors import PolicyError

HEAD = "version: 1\norganization: acme\n"


def compared(old: str, new: str) -> Comparison:
    """Compare two policies by what follows the first lines of their files."""
    return compare(parse_policy(HEAD + old, "old"), parse_policy(HEAD + new, "new"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "hosts: [ghcr.io]", Comparison(("ghcr.io:443",), (), ())),
        ("hosts: [ghcr.io]", "", Comparison((), ("ghcr.io:443",), ())),
        (
            "hosts: [ghcr.io]",
            "hosts: ['ghcr.io:8443']",
            Comparison(("ghcr.io:8443",), ("ghcr.io:443",), ()),
        ),
        (
            "hosts: [a.test]",
            "hosts: [{host: a.test, private: true}]",
            Comparison(("a.test:443 private",), ("a.test:443",), ()),
        ),
        (
            "networks: [10.0.0.0/8]",
            "networks: [10.0.0.0/9]",
            Comparison(("network 10.0.0.0/9",), ("network 10.0.0.0/8",), ()),
        ),
        ("", "mode: audit", Comparison((), (), ("mode: enforce -> audit",))),
        (
            "",
            "resolvers: [10.0.0.53]",
            Comparison((), (), ("resolvers: system -> 10.0.0.53",)),
        ),
        (
            "",
            "dns: {min_ttl: 5}",
            Comparison((), (), ("dns: min_ttl 60, grace 300 -> min_ttl 5, grace 300",)),
        ),
    ],
)
def test_each_difference_is_a_line(old: str, new: str, expected: Comparison) -> None:
    """Added, removed or changed."""
    assert compared(old, new) == expected
    assert not expected.same


def test_what_permits_a_host_does_not_matter() -> None:
    """A preset, or its hosts in any order."""
    hosts = "hosts: [pkg-containers.githubusercontent.com, ghcr.io]"
    assert compared("registries: [ghcr]", hosts).same


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return the files of two policies that differ in all respects."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(f"{HEAD}hosts: [a.test, b.test]\n")
    new.write_text(f"{HEAD}mode: audit\nhosts: [b.test, c.test]\n")
    return old, new


def run(*arguments: str | Path) -> Result:
    """Run `enforcer policy diff`."""
    return CliRunner().invoke(cli, ["policy", "diff", *map(str, arguments)])


def test_the_command_prints_what_differs(files: tuple[Path, Path]) -> None:
    """In the form of a diff, and as a document."""
    done = run(*files)
    assert (done.exit_code, done.stdout) == (
        0,
        "+ c.test:443\n- a.test:443\n~ mode: enforce -> audit\n",
    )
    document = json.loads(run(*files, "--json").stdout)
    assert (document["same"], document["added"]) == (False, ["c.test:443"])


def test_two_equal_policies_are_told(files: tuple[Path, Path]) -> None:
    """An empty screen might be a mistake."""
    assert run(files[0], files[0]).stdout == "both permit the same\n"


def test_a_policy_with_mistakes_is_not_compared(files: tuple[Path, Path]) -> None:
    """Its mistakes are what is told, as by `policy validate`."""
    files[1].write_text("version: 2\n")
    caught = run(*files).exception
    assert isinstance(caught, PolicyError)
    assert caught.exit_code == 2
