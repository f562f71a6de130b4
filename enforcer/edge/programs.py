"""The loaded BPF programs: what user space tells them, and what they tell."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enforcer import abi
from enforcer.core.addresses import NEVER_LEARNED, PRIVATE, Address, Network, own_networks
from enforcer.core.destinations import TCP
from enforcer.core.grants import Grants
from enforcer.core.headers import Flow
from enforcer.edge import clocks, cpus, ring  # noqa: TID251 - counters are of each CPU, and rings
from enforcer.edge.bpf import NOTING, Objects, run_time  # noqa: TID251 - what it is made from
from enforcer.edge.granted import Granted  # noqa: TID251 - two maps of grants as one
from enforcer.edge.judge import Judge  # noqa: TID251 - those that judge connections
from enforcer.edge.maps import Map, Mirrored  # noqa: TID251 - how it is told
from enforcer.edge.rings import Rings  # noqa: TID251 - how they tell
from enforcer.errors import DatapathError

KEY = struct.Struct("=I")
CONNECT_MARK = "connect_mark"
COUNTER = struct.Struct("=Q")


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
    """Feed the programs, and read what they say.

    Args:
        objects: the programs and their maps; they are this object's from here on.

    Attributes:
        on_cgroup: the descriptors of those that belong on a cgroup, by name.
        refused: why they don't note processes; empty if they do.
        judge: those that judge connections as they begin.
        seal: the descriptor of the program for sealed sockets, and
        sealed: that of its map.

    Raises:
        DatapathError: something is missing, or the kernel refuses; every method may.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.dns_query = self._program("dns_query")
        self.dns_answer = self._program("dns_answer")
        self.forward_mark = self._program("forward_mark")
        self.on_cgroup = {CONNECT_MARK: self._program(CONNECT_MARK)} | {
            name: fd for name, fd in objects.programs.items() if name.startswith("who_")
        }
        self.refused = objects.refused.get(NOTING, "")
        self.judge = Judge(objects)
        self.seal = self._program("seal")
        self.sealed = _found("sealed", objects.maps, "map")
        self._connectors = self._map("connectors")
        self._config = self._map("config")
        self._events = Rings(self._map("events"))
        self._others = Rings(self._map("others"))
        self._learned = self._map("learned")
        self._stats = self._map("stats")
        self._copies = len(cpus.possible())
        self._granted = Granted(self._map("short_grants"), self._map("long_grants"))
        self._resolvers = Mirrored(self._map("resolvers"), bytes, bytes)
        self._refused = Mirrored(self._map("refused"), bytes, bytes)

    def _program(self, name: str) -> int:
        return _found(name, self._objects.programs, "program")

    def _map(self, name: str) -> Map:
        return Map(name, _found(name, self._objects.maps, "map"))

    def close(self) -> None:
        """Let go of programs, maps and rings; what is attached stays in the kernel."""
        self._events.close()
        self._others.close()
        self.judge.close()
        self._objects.close()

    def configure(
        self,
        *,
        nonce: int,
        other_nonce: int,
        min_ttl_s: int,
        grace_s: int,
        beside: bool = False,
        policy: int = 0,
    ) -> None:
        """Set the mark of first SYNs and the lifetimes of learned addresses.

        Args:
            nonce: the mark.
            other_nonce: the ruleset accepts that one, too: no socket may keep it for another
                address.
            min_ttl_s: least lifetime.
            grace_s: added to each.
            beside: an earlier connect_mark runs before ours and may have set the mark.
            policy: tells the one that all was learned by from others; 0: there is none.
        """
        value = abi.Config(
            nonce=nonce,
            other_nonce=other_nonce,
            min_ttl_s=min_ttl_s,
            grace_s=grace_s,
            beside=beside,
            policy=policy,
        )
        self._config.update([(KEY.pack(abi.CONFIG_KEY), bytes(value))])

    def set_resolvers(self, facing: Mapping[Address, int]) -> None:
        """Trust answers from these alone, by the index of the interface to each; 0: none."""
        self._resolvers.replace(
            {bytes(abi.MappedAddress.of(who)): KEY.pack(index) for who, index in facing.items()}
        )

    def set_grants(self, grants: Grants) -> None:
        """Permit the names of *grants* alone; new ones first, so that none has a gap."""
        self._granted.replace(grants)

    def set_own_addresses(self, own: Iterable[Address]) -> None:
        """Never learn the well-known prefixes and *own*, the addresses of this machine."""
        wanted: dict[Network, abi.Refusal] = dict.fromkeys(PRIVATE, abi.Refusal.PRIVATE)
        wanted |= dict.fromkeys(NEVER_LEARNED, abi.Refusal.NEVER)
        wanted |= dict.fromkeys(own_networks(own), abi.Refusal.NEVER)
        self._refused.replace({_refused_key(net): KEY.pack(why) for net, why in wanted.items()})

    def forget(self, pairs: Iterable[tuple[Address, int]]) -> None:
        """Drop learned (address, port) pairs, so that no SYN to them is marked."""
        self._learned.delete(bytes(abi.LearnedKey.of(*pair)) for pair in pairs)

    def learned(self) -> dict[tuple[Address, int], float]:
        """Return what is learned, (address, port) by monotonic end in seconds; some may be past."""
        return learned_in(self._learned)

    def learn(self, learned: Mapping[tuple[Address, int], float]) -> None:
        """Learn what programs of an earlier process did, in the form that `learned` returns.

        What these programs have learned themselves stays as it is.
        """
        known, ahead_s = self.learned(), clocks.ahead_s()
        self._learned.update(
            (
                bytes(abi.LearnedKey.of(address, port)),
                bytes(abi.Learned(int((expires - ahead_s) * 1e9))),
            )
            for (address, port), expires in learned.items()
            if (address, port) not in known
        )

    def open_events(self) -> tuple[int, ...]:
        """Open the event rings; return descriptors that are readable when `drain` has work.

        Of a CPU that comes online later, answers count as lost, though the kernel learns from
        them as from others.
        """
        return self._events.open()

    def announce(self) -> None:
        """Have each answer make a descriptor of `open_events` readable, as at first."""
        self._events.announce()

    def hush(self) -> None:
        """Announce nothing before a ring is half full: see `Rings.hush`."""
        self._events.hush()

    def drain(self, limit: int | None = None) -> tuple[Event, ...]:
        """Take what the event rings hold now, *limit* at most or so: see `Rings.drain`."""
        return tuple(map(_event, self._events.drain(limit)))

    def open_others(self) -> tuple[int, ...]:
        """Open the rings of answers for other names; return descriptors as `open_events` does.

        They are readable only where such answers pile up: nobody waits for them.
        """
        fds = self._others.open(ring.LEAST_PAGES)
        self._others.hush()
        return fds

    def others(self, limit: int | None = None) -> tuple[bytes, ...]:
        """Take some of the answers, as messages, to queries that are not remembered."""
        return tuple(_event(sample).wire for sample in self._others.drain(limit))

    def connector(self, flow: Flow) -> abi.Connector | None:
        """Return the process that began *flow*; None where nobody noted it.

        Of what is not TCP, the last one that sent to its destination.
        """
        exact = flow.destination.protocol == TCP
        key = abi.FlowKey(
            source=abi.MappedAddress.of(flow.source) if exact else abi.MappedAddress(),
            source_port=flow.source_port if exact else 0,
            destination=abi.MappedAddress.of(flow.destination.address),
            destination_port=flow.destination.port,
            protocol=flow.destination.protocol,
        )
        try:
            return abi.Connector.from_buffer_copy(self._connectors.lookup(bytes(key)))
        except FileNotFoundError:
            return None

    def run_times(self) -> dict[str, tuple[int, int]]:
        """Return how long each program ran, in nanoseconds, and how often: see `run_time`."""
        return {name: run_time(fd) for name, fd in self._objects.programs.items()}

    def stats(self) -> dict[abi.Stat, int]:
        """Read the programs' counters, summed over CPUs."""
        copies = self._copies
        return {
            stat: sum(n for (n,) in COUNTER.iter_unpack(self._stats.lookup(KEY.pack(stat), copies)))
            for stat in abi.Stat
        }


def learned_in(elements: Map) -> dict[tuple[Address, int], float]:
    """Return what the map of that name holds, (address, port) by monotonic end in seconds."""
    found, ahead_s = {}, clocks.ahead_s()
    for key, value in elements.items():
        pair = abi.LearnedKey.from_buffer_copy(key)
        expires_ns = abi.Learned.from_buffer_copy(value).expires_ns
        found[pair.address.address(), pair.port] = expires_ns / 1e9 + ahead_s
    return found


def _found(name: str, among: Mapping[str, int], kind: str) -> int:
    try:
        return among[name]
    except KeyError as exc:
        raise DatapathError(f'the BPF {kind} "{name}" was not loaded') from exc


def _event(sample: bytes) -> Event:
    header = abi.AnswerEvent.from_buffer_copy(sample)
    begin = ctypes.sizeof(header)
    wire = sample[begin : begin + header.len]
    return Event(
        wire,
        unusual=bool(header.flags & abi.AnswerFlags.UNUSUAL),
        cut=bool(header.flags & abi.AnswerFlags.CUT),
        time=header.time_ns / 1e9,
    )


def _refused_key(network: Network) -> bytes:
    key = abi.RefusedKey(prefixlen=8 + network.prefixlen, family=network.version)
    packed = network.network_address.packed
    ctypes.memmove(key.address, packed, len(packed))
    return bytes(key)
