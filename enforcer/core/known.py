"""What a policy knows of the one before, so that most of it need not be validated again.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from enforcer.core.grants import Grants
from enforcer.core.host_and_port import HTTPS
from enforcer.core.hosts import Host
from enforcer.core.presets import presets

DEFAULT_PORTS = (str(HTTPS),)
OWN_HOSTS = "hosts"  # the origin of a host that no preset names
ENTRY_KEYS = frozenset(("host", "ports", "private"))  # of an entry that is a mapping

Ports: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """What hosts share with others: PolicyFile is validated in the context of one.

    Attributes:
        grants: of the policy before, whose hosts are used again where nothing has
            changed: two policies of 100,000 hosts take little more than one.
        ports: each tuple of ports that was seen, by itself.
    """

    grants: Grants
    ports: dict[Ports, Ports] = field(default_factory=dict)

    def host(self, entry: object) -> Host | None:
        """Return the host of the policy before that *entry* stands for, if there is one.

        It was valid then: most of a long policy that is read again need not be
        validated again.
        """
        if isinstance(entry, str):
            name, colon, port = entry.partition(":")
            found = self._host(name)
            ports = (port,) if colon else DEFAULT_PORTS
            same = found and not found.private and ports == tuple(map(str, found.ports))
        elif isinstance(entry, Mapping):
            found = self._host(entry.get("host"))
            same = found and _says(entry, found)
        else:
            return None
        return found if same else None

    def _host(self, text: object) -> Host | None:
        if not isinstance(text, str) or text in presets():
            return None
        found = self.grants.written(text)
        # What a preset names may be wider than what an operator may write.
        return found if isinstance(found, Host) and found.origin == OWN_HOSTS else None


def _says(entry: Mapping[str, object], host: Host) -> bool:
    """Tell whether *entry*, of that name, is good for *host* as it is."""
    ports = entry.get("ports", [HTTPS])
    # By type: true is equal to 1.
    if not isinstance(ports, list) or any(type(port) is not int for port in ports):
        return False
    same = entry.get("private", False) is host.private and entry.keys() <= ENTRY_KEYS
    return same and tuple(sorted(set(ports))) == host.ports
