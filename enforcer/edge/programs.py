"""The BPF programs and their maps: the only importer of bcc."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any, TypeVar

import bcc  # noqa: TID251 - this is its edge

from enforcer import abi
from enforcer.core.addresses import NEVER_LEARNED, PRIVATE, Address, Network, own_networks
from enforcer.core.grants import Grant
from enforcer.core.names import trie_prefix
from enforcer.errors import DatapathError

K = TypeVar("K")
V = TypeVar("V")

# 64 pages a CPU hold some hundred answers while user space is busy.
RING_PAGES = 64
SOURCE = "enforcer.c"
INCLUDE = re.compile(r'#include "(?P<name>[^"]+)"')


@dataclass(frozen=True)
class Event:
    """An answer to a query for a permitted name, as the kernel saw it.

    Attributes:
        wire: the DNS message.
        unusual: the kernel learned nothing or not all of it: user space decides.
        cut: the message goes on beyond `wire`.
        time: when it arrived, monotonic seconds.
    """

    wire: bytes
    unusual: bool
    cut: bool
    time: float


class Programs:
    """Compile, load and feed dns_query, dns_answer, forward_mark and connect_mark.

    Raises:
        DatapathError: the kernel refuses a program or a map.
    """

    def __init__(self) -> None:
        with _translated("load the BPF programs"):
            with as_file(files("enforcer.bpf") / "shim") as shim:
                os.environ["BCC_KERNEL_SOURCE"] = os.fspath(shim)
                self._bpf: Any = bcc.BPF(text=source().encode(), cflags=["-Wno-unused-function"])
            sched_cls, sock_ops = bcc.BPF.SCHED_CLS, bcc.BPF.SOCK_OPS
            self.dns_query: int = self._bpf.load_func(b"dns_query", sched_cls).fd
            self.dns_answer: int = self._bpf.load_func(b"dns_answer", sched_cls).fd
            self.forward_mark: int = self._bpf.load_func(b"forward_mark", sched_cls).fd
            self.connect_mark: int = self._bpf.load_func(b"connect_mark", sock_ops).fd
        self._events: list[Event] = []
        self._readers: tuple[int, ...] = ()
        self._grants: dict[bytes, Grant] = {}
        self._resolvers: dict[Address, int] = {}
        self._refused: dict[Network, abi.Refusal] = {}

    def close(self) -> None:
        """Let go of programs and maps; what is attached stays in the kernel."""
        # Rings are freed with the object: reading one afterwards would crash.
        self._readers = ()
        self._bpf.cleanup()

    def configure(self, *, nonce: int, min_ttl_s: int, grace_s: int) -> None:
        """Set the mark of first SYNs and the lifetimes of learned addresses."""
        value = abi.Config(nonce=nonce, min_ttl_s=min_ttl_s, grace_s=grace_s)
        self._update("config", ctypes.c_uint32(abi.CONFIG_KEY), value)

    def set_resolvers(self, resolvers: Iterable[Address]) -> None:
        """Trust answers from *resolvers* alone."""
        wanted = dict.fromkeys(resolvers, 1)
        self._sync("resolvers", self._resolvers, wanted, abi.MappedAddress.of, ctypes.c_uint32)

    def set_grants(self, grants: Iterable[Grant]) -> None:
        """Permit the names of *grants* alone; new ones first, so that none has a gap."""
        wanted = {trie_prefix(grant.pattern): grant for grant in grants}
        self._sync("grants", self._grants, wanted, _name_key, _grant_value)

    def set_own_addresses(self, own: Iterable[Address]) -> None:
        """Never learn the well-known prefixes and *own*, the addresses of this machine."""
        wanted: dict[Network, abi.Refusal] = dict.fromkeys(PRIVATE, abi.Refusal.PRIVATE)
        wanted |= dict.fromkeys(NEVER_LEARNED, abi.Refusal.NEVER)
        wanted |= dict.fromkeys(own_networks(own), abi.Refusal.NEVER)
        self._sync("refused", self._refused, wanted, _refused_key, ctypes.c_uint32)

    def forget(self, pairs: Iterable[tuple[Address, int]]) -> None:
        """Drop learned (address, port) pairs, so that no SYN to them is marked."""
        for address, port in pairs:
            self._delete("learned", abi.LearnedKey(abi.MappedAddress.of(address), port, 0))

    def learned(self) -> dict[tuple[Address, int], float]:
        """Return what is learned, (address, port) by monotonic end in seconds; some may be past."""
        table = self._bpf[b"learned"]
        found = {}
        for key, value in table.items():
            mirrored = abi.LearnedKey.from_buffer_copy(key)
            expires_ns = abi.Learned.from_buffer_copy(value).expires_ns
            found[mirrored.address.address(), mirrored.port] = expires_ns / 1e9
        return found

    def open_events(self) -> tuple[int, ...]:
        """Open the event rings; return descriptors that are readable when `drain` has work."""
        with _translated("open the event rings"):
            self._bpf[b"events"].open_perf_buffer(
                # What the ring could not hold is in STAT_LOST already.
                self._take,
                page_cnt=RING_PAGES,
                lost_cb=lambda _count: None,
            )
            self._readers = tuple(self._bpf.perf_buffers.values())
            return tuple(bcc.lib.perf_reader_fd(reader) for reader in self._readers)

    def drain(self) -> tuple[Event, ...]:
        """Take what the event rings hold now, without waiting."""
        # Not perf_buffer_poll(): it polls once more, and a ring reports each wake-up
        # to one poll only, which the caller's event loop has had.
        for reader in self._readers:
            bcc.lib.perf_reader_event_read(ctypes.c_void_p(reader))
        events, self._events = tuple(self._events), []
        return events

    def stats(self) -> dict[abi.Stat, int]:
        """Read the programs' counters, summed over CPUs."""
        with _translated("read the BPF counters"):
            table = self._bpf[b"stats"]
            return {stat: sum(table[ctypes.c_int(stat)]) for stat in abi.Stat}

    def _take(self, _cpu: int, data: int, _size: int) -> None:
        header = abi.AnswerEvent.from_address(data)
        wire = ctypes.string_at(data + ctypes.sizeof(header), header.len)
        flags = abi.AnswerFlags(header.flags)
        self._events.append(
            Event(
                wire=wire,
                unusual=abi.AnswerFlags.UNUSUAL in flags,
                cut=abi.AnswerFlags.CUT in flags,
                time=header.time_ns / 1e9,
            )
        )

    def _sync(
        self,
        table: str,
        held: dict[K, V],
        wanted: dict[K, V],
        key: Callable[[K], Any],
        value: Callable[[V], Any],
    ) -> None:
        """Make *table* hold *wanted*; *held* mirrors it after every step, also if one fails."""
        for name, content in wanted.items():
            if held.get(name) != content:
                self._update(table, key(name), value(content))
                held[name] = content
        for name in held.keys() - wanted.keys():
            self._delete(table, key(name))
            del held[name]

    def _update(self, table: str, key: Any, value: Any) -> None:
        fd = self._bpf[table.encode()].map_fd
        if bcc.lib.bpf_update_elem(fd, ctypes.byref(key), ctypes.byref(value), 0) < 0:
            error = os.strerror(ctypes.get_errno())
            raise DatapathError(f'BPF map "{table}" refused an entry: {error}')

    def _delete(self, table: str, key: Any) -> None:
        fd = self._bpf[table.encode()].map_fd
        # ENOENT: an LRU map may have dropped it.
        failed = bcc.lib.bpf_delete_elem(fd, ctypes.byref(key)) < 0
        if failed and (code := ctypes.get_errno()) != errno.ENOENT:
            raise DatapathError(f'BPF map "{table}" kept an entry: {os.strerror(code)}')


def source() -> str:
    """Return all programs as one text.

    bcc 0.26 rewrites map accesses (``map.lookup()``) in the main file alone, so
    the headers of our own are put in place here rather than by the preprocessor.
    """
    folder = files("enforcer.bpf")
    seen: set[str] = set()

    def expand(name: str) -> Iterator[str]:
        if name in seen:
            return
        seen.add(name)
        yield f'#line 1 "{name}"'
        for number, line in enumerate((folder / name).read_text("utf-8").splitlines(), 1):
            included = INCLUDE.fullmatch(line)
            if included is None:
                yield line
            else:
                yield from expand(included["name"])
                yield f'#line {number + 1} "{name}"'

    return "\n".join(expand(SOURCE)) + "\n"


def _name_key(prefix: bytes) -> abi.NameKey:
    key = abi.NameKey(prefixlen=len(prefix) * 8)
    ctypes.memmove(key.name, prefix, len(prefix))
    return key


def _grant_value(grant: Grant) -> abi.Grant:
    flags = abi.GrantFlags.PRIVATE if grant.private else abi.GrantFlags(0)
    return abi.Grant(ports=(ctypes.c_uint16 * abi.MAX_PORTS)(*grant.ports), flags=flags)


def _refused_key(network: Network) -> abi.RefusedKey:
    key = abi.RefusedKey(prefixlen=8 + network.prefixlen, family=network.version)
    packed = network.network_address.packed
    ctypes.memmove(key.address, packed, len(packed))
    return key


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn what bcc raises (bare Exception, mostly) into DatapathError."""
    try:
        yield
    except Exception as exc:
        raise DatapathError(f"can't {doing}: {exc}") from exc
