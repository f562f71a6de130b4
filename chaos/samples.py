"""What a daemon and what it put into the kernel take at a moment, read from outside of both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from enforcer.edge.bpf import ById, bpf
from enforcer.edge.firewall import Firewall
from enforcer.edge.maps import Map
from tests.lab.namespace import Namespace

_MAP_GET_FD_BY_ID = 14  # enum bpf_cmd of include/uapi/linux/bpf.h
# enum bpf_map_type: hash, per-CPU hash, LRU hash, per-CPU LRU hash, LPM trie. Arrays are
# always full.
_GROWING = {"1", "5", "9", "10", "11"}
_KIB = 1024
_MIB = 1 << 20

RESIDENT, ANONYMOUS = "resident MiB", "anonymous MiB"
DESCRIPTORS, THREADS = "descriptors", "threads"
MAP_MEMORY, MAP_ENTRIES, SET_ELEMENTS = "maps MiB", "map entries", "set elements"
CONNECTIONS = "connections tracked"
FIGURES = (
    RESIDENT,
    ANONYMOUS,
    DESCRIPTORS,
    THREADS,
    MAP_MEMORY,
    MAP_ENTRIES,
    SET_ELEMENTS,
    CONNECTIONS,
)


class Sampler:
    """Reads the figures of one daemon.

    Args:
        host: the namespace it enforces in.
    """

    def __init__(self, host: Namespace) -> None:
        self._host = host
        self._firewall: Firewall = host.call(Firewall)

    def close(self) -> None:
        """Let go of the kernel."""
        self._firewall.close()

    def sample(self, pid: int) -> dict[str, float]:
        """Return the figures of the daemon with *pid* by their names.

        Raises:
            OSError: it is gone.
            DatapathError: the kernel does not say.
        """
        process = Path(f"/proc/{pid}")
        status = _fields(process / "status")
        maps = {fields["map_id"]: fields for fields in _map_descriptors(process)}
        return {
            RESIDENT: int(status["VmRSS"].split()[0]) * _KIB / _MIB,
            ANONYMOUS: int(status["RssAnon"].split()[0]) * _KIB / _MIB,
            DESCRIPTORS: sum(1 for _ in (process / "fd").iterdir()),
            THREADS: int(status["Threads"]),
            MAP_MEMORY: sum(int(fields["memlock"]) for fields in maps.values()) / _MIB,
            MAP_ENTRIES: sum(
                _entries(int(number))
                for number, fields in maps.items()
                if fields["map_type"] in _GROWING
            ),
            SET_ELEMENTS: len(self._firewall.open()),
            CONNECTIONS: self._host.call(_connections),
        }


def _fields(path: Path) -> Mapping[str, str]:
    lines = (line.split(":", 1) for line in path.read_text("ascii").splitlines() if ":" in line)
    return {name: value.strip() for name, value in lines}


def _map_descriptors(process: Path) -> Iterator[Mapping[str, str]]:
    for path in (process / "fdinfo").iterdir():
        try:
            fields = _fields(path)
        except FileNotFoundError:
            continue  # closed since it was listed
        if "map_id" in fields:
            yield fields


def _entries(map_id: int) -> int:
    fd = bpf(_MAP_GET_FD_BY_ID, ById(map_id))
    try:
        return sum(1 for _ in Map(str(map_id), fd).items())
    finally:
        os.close(fd)


def _connections() -> int:
    # Of the namespace of the thread that reads it.
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text("ascii"))
