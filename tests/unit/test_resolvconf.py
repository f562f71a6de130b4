"""Which name servers the machine itself trusts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcer.edge.resolvconf import (
    MAX_BYTES,
    RESOLV_CONF,
    UPSTREAMS,
    NoResolver,
    SystemResolvers,
    system_resolvers,
)

STUB = """\
# This is /run/systemd/resolve/stub-resolv.conf managed by man:systemd-resolved(8).
nameserver 127.0.0.53
options edns0 trust-ad
search corp.example
"""


def machine(root: Path, resolv_conf: str | bytes, upstreams: str | None = None) -> Path:
    """Write both files below *root* and return it."""
    for path, text in ((RESOLV_CONF, resolv_conf), (UPSTREAMS, upstreams)):
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def texts(found: SystemResolvers) -> list[str]:
    """Return the addresses in *found* as text."""
    return [str(address) for address in found.addresses]


ACCEPTED = {
    "one": ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
    "no newline at the end": ("nameserver 192.0.2.1", ["192.0.2.1"]),
    "order is kept": (
        "nameserver 192.0.2.2\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n",
        ["192.0.2.2", "2001:db8::1", "192.0.2.1"],
    ),
    "each once": ("nameserver ::1\nnameserver 0:0:0:0:0:0:0:1\n", ["::1"]),
    "tabs, carriage returns, trailing words": (
        "nameserver\t192.0.2.1\r\nnameserver  192.0.2.2 # second\n",
        ["192.0.2.1", "192.0.2.2"],
    ),
    "other keywords, comments, indented lines": (
        """\
search nameserver 192.0.2.6
#nameserver 192.0.2.7
; nameserver 192.0.2.7

 nameserver 192.0.2.8
nameservers 192.0.2.9
nameserver
nameserver 192.0.2.1
""",
        ["192.0.2.1"],
    ),
    "not UTF-8": (b"# \xe9\nnameserver 192.0.2.1\n", ["192.0.2.1"]),
    "WSL tunnel": ("nameserver 10.255.255.254\n", ["10.255.255.254"]),
}

REJECTED = {
    "empty": ("", "names no usable name server"),
    "no name server": ("search corp.example\n", "names no usable name server"),
    "only link-local": ("nameserver fe80::1%eth0\n", "fe80::1%eth0 is link-local"),
    "only nonsense": ("nameserver dns.example\n", '"dns.example" is no address'),
}


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.values(), ids=list(ACCEPTED))
def test_name_servers_are_read_as_the_c_library_does(
    tmp_path: Path, text: str | bytes, expected: list[str]
) -> None:
    """Keyword at the start of a line, then an address; nothing else is said."""
    found = system_resolvers(machine(tmp_path, text))
    assert texts(found) == expected
    assert found.notes == ()


@pytest.mark.parametrize(("text", "reason"), REJECTED.values(), ids=list(REJECTED))
def test_a_machine_without_name_servers_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Nothing could ever be permitted: the error says what to do instead."""
    with pytest.raises(NoResolver, match=r"resolv\.conf") as caught:
        system_resolvers(machine(tmp_path, text))
    assert reason in caught.value.message
    assert "`resolvers` in the policy" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The error names the file and the reason."""
    with pytest.raises(NoResolver, match=r"etc/resolv\.conf can't be read: no such file"):
        system_resolvers(tmp_path)


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    """Any other reason not to read it is told too."""
    (tmp_path / RESOLV_CONF).mkdir(parents=True)
    with pytest.raises(NoResolver, match="is a directory"):
        system_resolvers(tmp_path)


@pytest.mark.parametrize("writer", [False, True])
def test_a_named_pipe_in_its_place_is_refused(tmp_path: Path, *, writer: bool) -> None:
    """Opening it waited for a writer and reading it for the writer's end: for ever."""
    path = tmp_path / RESOLV_CONF
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR) if writer else None
    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(system_resolvers, tmp_path)
        try:
            with pytest.raises(NoResolver, match="it is not a file"):
                reading.result(timeout=5)
        finally:
            # One that still waits finds a writer, and then the end.
            os.close(os.open(path, os.O_RDWR) if descriptor is None else descriptor)


def test_a_file_without_end_is_read_as_far_as_it_can_matter(tmp_path: Path) -> None:
    """A device has no end at all; of a file that somebody's log grew into, the beginning counts."""
    path = tmp_path / RESOLV_CONF
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(NoResolver, match="it is not a file"):
        system_resolvers(tmp_path)
    path.unlink()
    path.write_bytes(b"nameserver 192.0.2.1\n" + b"#" * MAX_BYTES + b"\nnameserver 192.0.2.2\n")
    assert texts(system_resolvers(tmp_path)) == ["192.0.2.1"]


def test_behind_a_stub_the_upstream_servers_are_trusted_too(tmp_path: Path) -> None:
    """The stub first; systemd-resolved's own queries pass the same firewall."""
    upstreams = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 127.0.0.53\n"
    found = system_resolvers(machine(tmp_path, STUB, upstreams))
    assert texts(found) == ["127.0.0.53", "192.0.2.1", "2001:db8::1"]


def test_without_a_stub_upstream_servers_are_nobody(tmp_path: Path) -> None:
    """A file that systemd-resolved left behind adds no trust."""
    found = system_resolvers(machine(tmp_path, "nameserver 192.0.2.1\n", "nameserver 192.0.2.66\n"))
    assert texts(found) == ["192.0.2.1"]


def test_another_kind_of_stub_stands_alone(tmp_path: Path) -> None:
    """A local unbound or dnsmasq has no such file, which is no error."""
    found = system_resolvers(machine(tmp_path, "nameserver ::1\n"))
    assert texts(found) == ["::1"]
    assert found.notes == ()


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    """A link-local server needs an interface, and a typing error should be seen."""
    text = "nameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver 192.0.2\n"
    found = system_resolvers(machine(tmp_path, text))
    assert texts(found) == ["192.0.2.1"]
    link_local, nonsense = found.notes
    assert "fe80::1%eth0 is link-local and can't be used" in link_local
    assert '"192.0.2" is no address' in nonsense


def test_an_unreadable_upstream_file_is_noted(tmp_path: Path) -> None:
    """The stub alone still works."""
    root = machine(tmp_path, STUB)
    (root / UPSTREAMS).mkdir(parents=True)
    found = system_resolvers(root)
    assert texts(found) == ["127.0.0.53"]
    assert "is a directory" in found.notes[0]
