"""What is said when nft can't be asked or does not understand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.edge.firewall import Firewall
from enforcer.errors import DatapathError, EnforcerError
from tests.lab.namespace import Namespace
from tests.lab.topology import topology

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """Return a network namespace that tests of this module may spoil."""
    with topology() as net:
        yield net.host


def in_namespace(namespace: Namespace, method: str, *arguments: str) -> object:
    """Return what *method* of a firewall returns."""

    def call() -> object:
        firewall = Firewall()
        try:
            return getattr(firewall, method)(*arguments)
        finally:
            firewall.close()

    return namespace.call(call)


@pytest.mark.parametrize(
    ("method", "arguments"), [("apply", ("",)), ("remove", ()), ("inspect", ())]
)
def test_a_missing_program_is_named_with_its_package(
    namespace: Namespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    arguments: tuple[str, ...],
) -> None:
    """Whatever was to be done with it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatapathError, match='"nft" not found') as caught:
        in_namespace(namespace, method, *arguments)
    assert caught.value.hint == "install the package nftables"


def test_a_program_that_can_not_be_started_is_an_error(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without the right to be executed, for instance."""
    (tmp_path / "nft").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatapathError, match="Permission denied"):
        in_namespace(namespace, "inspect")


def test_a_listing_that_makes_no_sense_is_an_error(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that succeeds and says something else is not believed."""
    (tmp_path / "nft").symlink_to("/bin/echo")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatapathError, match="not understood"):
        in_namespace(namespace, "inspect")


def test_an_error_names_the_line_it_is_about(namespace: Namespace) -> None:
    """The kernel's words and nft's place reach the operator."""
    text = "table inet enforcer {\n\tchain a {\n\t\tjump nowhere\n\t}\n}\n"
    with pytest.raises(EnforcerError, match=r"stdin:\d+.*nowhere"):
        in_namespace(namespace, "apply", text)


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
