"""resolv.conf: the resolvers that the machine itself trusts, for `resolvers: system`."""

from __future__ import annotations

import errno
import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from enforcer.core.addresses import Address
from enforcer.errors import EnforcerError

RESOLV_CONF = "etc/resolv.conf"

# Behind a stub on this machine: the servers that systemd-resolved asks. Both
# are trusted, since its queries pass the same firewall (systemd-resolved(8)).
UPSTREAMS = "run/systemd/resolve/resolv.conf"

# Of the file; what comes after that is not read. glibc uses three name servers.
MAX_BYTES = 1 << 16

HINT = "list the addresses of your name servers under `resolvers` in the policy"


class NoResolver(EnforcerError):
    """The machine names no name server that can be used."""


def watched_files(root: Path) -> tuple[Path, ...]:
    """Return the files that `system_resolvers` depends on, whether or not they exist."""
    return (root / RESOLV_CONF, root / UPSTREAMS)


@dataclass(frozen=True)
class SystemResolvers:
    """The name servers of the machine.

    Attributes:
        addresses: in order of preference, each once.
        notes: what was left out and why, for people.
    """

    addresses: tuple[Address, ...]
    notes: tuple[str, ...]


def system_resolvers(root: Path) -> SystemResolvers:
    """Read the name servers of the machine.

    Args:
        root: the directory that holds `etc` and `run`, such as ``/``.

    Raises:
        NoResolver: if resolv.conf can't be read or names no usable server.
    """
    path = root / RESOLV_CONF
    notes: list[str] = []
    try:
        addresses = _nameservers(path, notes)
    except OSError as exc:
        raise NoResolver(f"{path} can't be read: {str(exc.strerror).lower()}", HINT) from exc
    if any(address.is_loopback for address in addresses):
        try:
            addresses += _nameservers(root / UPSTREAMS, notes)
        except FileNotFoundError:
            pass  # another kind of stub
        except OSError as exc:
            notes.append(f"{root / UPSTREAMS} can't be read: {str(exc.strerror).lower()}")
    if not addresses:
        raise NoResolver("; ".join((f"{path} names no usable name server", *notes)), HINT)
    return SystemResolvers(tuple(dict.fromkeys(addresses)), tuple(notes))


def _read(path: Path) -> bytes:
    """Return what *path* holds, as far as it can be a resolv.conf.

    Raises:
        OSError: it can't be read, or is no file: a named pipe never ends.
    """
    # Not blocking: opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        # Who reads a directory is told that it is one.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "it is not a file")
        return os.read(descriptor, MAX_BYTES)
    finally:
        os.close(descriptor)


def _nameservers(path: Path, notes: list[str]) -> list[Address]:
    """Return what *path* lists; append to *notes* what can't be used."""
    addresses: list[Address] = []
    for line in _read(path).decode(errors="replace").splitlines():
        # resolv.conf(5): the keyword starts the line, blanks separate the value.
        keyword, *values = line.split()[:2] or ("",)
        if keyword != "nameserver" or line[:1].isspace() or not values:
            continue
        try:
            address = ipaddress.ip_address(values[0])
        except ValueError:
            notes.append(f'{path}: name server "{values[0]}" is no address')
            continue
        if address.is_link_local:
            # Neither the policy nor the kernel's maps carry the interface.
            notes.append(f"{path}: name server {address} is link-local and can't be used")
        else:
            addresses.append(address)
    return addresses
