"""Finding out what nftables can do, and what is said when it can't be asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from enforcer.core.ruleset import FULL
from enforcer.edge.firewall import Firewall
from enforcer.errors import DatapathError, EnforcerError, Unsupported
from tests.lab.namespace import Namespace
from tests.lab.topology import topology

pytestmark = pytest.mark.root

# As nft 1.0.6 puts the answer to an expression of which the kernel has no module;
# WSL 2's stock 5.15.54 gives it for ct, reject and counter.
MISSING = "/dev/stdin:5:5-30: Error: Could not process rule: No such file or directory"

# The same for an expression that is there, but not in this family.
NOT_HERE = "/dev/stdin:5:5-30: Error: Could not process rule: Operation not supported"


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """Return a network namespace that tests of this module may spoil."""
    with topology() as net:
        yield net.host


def kernel_without(directory: Path, word: str, answer: str) -> str:
    """Return an nft for which the kernel refuses every text with *word*."""
    script = directory / "nft"
    script.write_text(
        "#!/bin/sh\n"
        "text=$(cat)\n"
        'case "$text" in\n'
        f'*"{word}"*) echo "{answer}" >&2; exit 1 ;;\n'
        "esac\n"
        'echo "$text" | exec /usr/sbin/nft "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def in_namespace(namespace: Namespace, nft: str, method: str, *arguments: str) -> object:
    """Return what *method* of a firewall with *nft* returns."""

    def call() -> object:
        firewall = Firewall(nft)
        try:
            return getattr(firewall, method)(*arguments)
        finally:
            firewall.close()

    return namespace.call(call)


def test_this_kernel_can_do_it_all(namespace: Namespace) -> None:
    """The probe agrees with the ruleset tests, which use every capability."""
    assert in_namespace(namespace, "nft", "probe") == FULL


def test_the_probe_leaves_nothing_behind(namespace: Namespace) -> None:
    """It works in a namespace of its own, which is gone afterwards."""
    before = namespace.run("nft", "list", "ruleset").stdout
    in_namespace(namespace, "nft", "probe")
    assert namespace.run("nft", "list", "ruleset").stdout == before


@pytest.mark.parametrize("answer", [MISSING, NOT_HERE])
@pytest.mark.parametrize(
    ("word", "lacking"),
    [
        ("ct state", "ct"),
        ("reject with tcp", "reject"),
        ("reject with icmpx", "reject"),
        ("counter name", "counter"),
    ],
)
def test_each_capability_is_probed_on_its_own(
    namespace: Namespace, tmp_path: Path, word: str, lacking: str, answer: str
) -> None:
    """A kernel without one expression has all the others."""
    nft = kernel_without(tmp_path, word, answer)
    found = in_namespace(namespace, nft, "probe")
    assert found == type(FULL)(**{**asdict(FULL), lacking: False})


@pytest.mark.parametrize("word", ["table", "flags interval", "add @allowed"])
def test_without_the_base_the_kernel_is_unsupported(
    namespace: Namespace, tmp_path: Path, word: str
) -> None:
    """What no ruleset can do without is an error of its own, with its own exit status."""
    nft = kernel_without(tmp_path, word, MISSING)
    with pytest.raises(Unsupported, match="lacks"):
        in_namespace(namespace, nft, "probe")


@pytest.mark.parametrize(
    "answer",
    [
        "/dev/stdin:5:5-30: Error: Could not process rule: Cannot allocate memory",
        "netlink: Error: cache initialization failed: Operation not permitted",
        "Killed",
        "",
    ],
)
def test_an_answer_about_something_else_is_no_answer(
    namespace: Namespace, tmp_path: Path, answer: str
) -> None:
    """Neither supported nor unsupported: the caller is told."""
    nft = kernel_without(tmp_path, "ct state", answer)
    with pytest.raises(DatapathError, match="could not be probed"):
        in_namespace(namespace, nft, "probe")


@pytest.mark.parametrize(
    ("method", "arguments"), [("apply", ("",)), ("remove", ()), ("inspect", ()), ("probe", ())]
)
def test_a_missing_program_is_named_with_its_package(
    namespace: Namespace, method: str, arguments: tuple[str, ...]
) -> None:
    """Whatever was to be done with it."""
    with pytest.raises(DatapathError, match='"nft-is-not-here" not found') as caught:
        in_namespace(namespace, "nft-is-not-here", method, *arguments)
    assert caught.value.hint == "install the package nftables"


def test_a_program_that_can_not_be_started_is_an_error(
    namespace: Namespace, tmp_path: Path
) -> None:
    """A file without the right to be executed, for instance."""
    (tmp_path / "nft").write_text("")
    with pytest.raises(DatapathError, match="Permission denied"):
        in_namespace(namespace, str(tmp_path / "nft"), "inspect")


def test_a_listing_that_makes_no_sense_is_an_error(namespace: Namespace) -> None:
    """A program that succeeds and says something else is not believed."""
    with pytest.raises(DatapathError, match="not understood"):
        in_namespace(namespace, "echo", "inspect")


def test_an_error_names_the_line_it_is_about(namespace: Namespace) -> None:
    """The kernel's words and nft's place reach the operator."""
    text = "table inet enforcer {\n\tchain a {\n\t\tjump nowhere\n\t}\n}\n"
    with pytest.raises(EnforcerError, match=r"stdin:3:.*No such file.* jump nowhere"):
        in_namespace(namespace, "nft", "apply", text)


def test_without_a_socket_there_is_no_firewall(namespace: Namespace) -> None:
    """A kernel that gives none, here for want of a descriptor, is an error like the others."""
    script = (
        "import resource\n"
        "from enforcer.edge.firewall import Firewall\n"
        "from enforcer.errors import DatapathError\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n    Firewall()\nexcept DatapathError as error:\n    print(error)\n"
    )
    done = namespace.run(sys.executable, "-c", script)
    assert done.stdout == "netlink socket for nftables: [Errno 24] Too many open files\n"
