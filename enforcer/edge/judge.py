"""judge_connect: what it is told of places and addresses, and what it tells of denials."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from enforcer import abi
from enforcer.core.addresses import Network
from enforcer.core.destinations import TCP, Destination
from enforcer.core.opened import Pair
from enforcer.edge.bpf import JUDGING, Objects  # noqa: TID251 - what it is made from
from enforcer.edge.clocks import ahead_s  # noqa: TID251 - how the programs count
from enforcer.edge.maps import Map, Mirrored  # noqa: TID251 - how it is told
from enforcer.edge.rings import Rings  # noqa: TID251 - how it tells
from enforcer.errors import DatapathError

PROGRAMS = ("judge_connect4", "judge_connect6")
MAPS = ("judging", "places", "opened", "denials")
_KEY = struct.pack("=I", 0)
_VALUE = struct.Struct("=I")
_COOKIE = struct.Struct("=Q")
_SO_COOKIE = 57  # asm-generic/socket.h, socket(7)
# Nothing is sent there: a datagram socket that connects asks for a route and no more.
_NOBODY = ("127.0.0.1", 9)


@dataclass(frozen=True)
class DeniedConnection:
    """A connection of this network namespace that the ruleset would not let begin.

    Attributes:
        who: the process that tried.
    """

    destination: Destination
    who: abi.Connector


class Judge:
    """Tell the programs what they judge by, and hear what they denied.

    Args:
        objects: the programs and their maps; stay the caller's to close.

    Attributes:
        programs: their descriptors, by name; empty where the kernel has none.
        refused: why; empty otherwise.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, objects: Objects) -> None:
        self.programs = {n: fd for n, fd in objects.programs.items() if n in PROGRAMS}
        self.refused = objects.refused.get(JUDGING, "")
        judging, places, opened, denials = (Map(name, objects.maps[name]) for name in MAPS)
        self._judging = judging
        self._places = Mirrored(places, _place_key, _place)
        self._opened = opened
        self._ends: dict[Pair, float] = {}
        self._denials = Rings(denials)
        self._namespace = 0

    def close(self) -> None:
        """Hear no more; what is attached goes on until it is told to have ended."""
        self._denials.close()

    def find_namespace(self) -> bool:
        """Have the programs, which are attached, see which network namespace is ours.

        Returns: whether they did. They don't where this process is outside of their cgroup.
        """
        if self._namespace:
            return True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            cookie = _COOKIE.unpack(ours.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))
            self._judging.update([(_KEY, bytes(abi.Judging(socket=cookie[0])))])
            try:
                ours.connect(_NOBODY)
            except OSError as exc:
                raise DatapathError(f"can't connect to the loopback: {exc.strerror}") from exc
        self._namespace = abi.Judging.from_buffer_copy(self._judging.lookup(_KEY)).namespace
        return bool(self._namespace)

    def judge(self, flags: abi.JudgingFlags, until: float) -> None:
        """Judge connections of our network namespace as *flags* say.

        Args:
            flags: 0 to judge none.
            until: monotonic seconds, when what is known of places is true no more.
        """
        value = abi.Judging(
            namespace=self._namespace, until_ns=int((until - ahead_s()) * 1e9), flags=flags
        )
        self._judging.update([(_KEY, bytes(value))])

    def set_places(self, outside: Mapping[Network, bool]) -> None:
        """Judge only what goes to those *outside*, by the longest prefix."""
        self._places.replace(dict(outside))

    def set_opened(self, ends: Mapping[Pair, float]) -> None:
        """Take these (address, port) alone for open, each until its monotonic end in seconds."""
        self.open({pair: end for pair, end in ends.items() if self._ends.get(pair) != end})
        self.shut([pair for pair in self._ends if pair not in ends])

    def open(self, ends: Mapping[Pair, float]) -> None:
        """Take these for open besides, or until another end."""
        self._ends.update(ends)
        self._opened.update((_pair_key(pair), _end(end)) for pair, end in ends.items())

    def shut(self, pairs: Collection[Pair]) -> None:
        """Take *pairs* for open no longer."""
        for pair in pairs:
            self._ends.pop(pair, None)
        self._opened.delete(map(_pair_key, pairs))

    def renew(self) -> None:
        """Say again what is open: the kernel refused some of it."""
        self._opened.delete([key for key, _ in self._opened.items()])
        self.open(dict(self._ends))

    def expire(self, now: float) -> None:
        """Make room of what has ended *now*, in monotonic seconds, as the programs know."""
        self.shut([pair for pair, end in self._ends.items() if end <= now])

    def listen(self) -> tuple[int, ...]:
        """Open the rings of denials; return descriptors that are readable when there are some."""
        return self._denials.open()

    def denied(self, limit: int) -> tuple[DeniedConnection, ...]:
        """Take denials that are there, about *limit* at most."""
        return tuple(map(_denied, self._denials.drain(limit)))


def _denied(sample: bytes) -> DeniedConnection:
    event = abi.DeniedEvent.from_buffer_copy(sample)
    return DeniedConnection(Destination(event.destination.address(), TCP, event.port), event.who)


def _place_key(network: Network) -> bytes:
    key = abi.PlaceKey(prefixlen=8 + network.prefixlen, family=network.version)
    packed = network.network_address.packed
    ctypes.memmove(key.address, packed, len(packed))
    return bytes(key)


def _place(outside: bool) -> bytes:  # noqa: FBT001 - the value of a mapping
    return _VALUE.pack(abi.PlaceKind.OUTSIDE if outside else abi.PlaceKind.PERMITTED)


def _pair_key(pair: Pair) -> bytes:
    return bytes(abi.LearnedKey.of(*pair))


def _end(end: float) -> bytes:
    return bytes(abi.Learned(expires_ns=int((end - ahead_s()) * 1e9)))
