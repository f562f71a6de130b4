"""What an earlier process left: programs, and what they learned, in maps that stay with them."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from enforcer import abi
from enforcer.core.addresses import Address
from enforcer.edge.bpf import maps_of  # noqa: TID251 - programs name their maps
from enforcer.edge.cgroup import HOOKS, CgroupHook  # noqa: TID251 - where some of them are
from enforcer.edge.maps import Map, identity  # noqa: TID251 - how they are read
from enforcer.edge.programs import KEY, learned_in  # noqa: TID251 - as it has them
from enforcer.errors import DatapathError

_CONFIG, _LEARNED = "config", "learned"
# Another version may have others, which nobody here can read.
_SIZES = {
    _CONFIG: (KEY.size, ctypes.sizeof(abi.Config)),
    _LEARNED: (ctypes.sizeof(abi.LearnedKey), ctypes.sizeof(abi.Learned)),
}


class Earlier:
    """The maps of programs that are attached: held, they outlast their detachment.

    Args:
        program_ids: of the programs; what is gone, or of another version, counts for nothing.

    Raises:
        DatapathError: the kernel refuses; `learned` may, too.
    """

    def __init__(self, program_ids: Iterable[int]) -> None:
        self._descriptors: list[int] = []
        # Of each process, config and learned, by the id of this one: its programs share them.
        self._maps: dict[int, tuple[Map, Map]] = {}
        with _translated():
            for program in program_ids:
                self._hold(program)

    def close(self) -> None:
        """Let go of them."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._maps = {}

    def learned(self) -> tuple[tuple[int, dict[tuple[Address, int], float]], ...]:
        """Return what each process learned, as `Programs.learned` does, and by which policy.

        The policy as it was told to `Programs.configure`: 0 if by several.
        """
        with _translated():
            return tuple((_policy(config), learned_in(it)) for config, it in self._maps.values())

    def _hold(self, program: int) -> None:
        found: dict[str, Map] = {}
        number = 0
        for fd in maps_of(program):
            self._descriptors.append(fd)
            map_id, name = identity(fd)
            number = map_id if name == _LEARNED else number
            if name in _SIZES:
                found[name] = Map(name, fd)
        if all(name in found and found[name].sizes == size for name, size in _SIZES.items()):
            self._maps[number] = found[_CONFIG], found[_LEARNED]


def related(cgroup: Path, program_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the ids of our programs on *cgroup* that are of the same process as others.

    They have a map in common, some of them with another one on the cgroup.

    Args:
        cgroup: where they are attached.
        program_ids: of the others.

    Raises:
        DatapathError: the kernel refuses.
    """
    with _translated():
        maps = set().union(*map(_map_ids, program_ids))
        if not maps:
            return ()
        hooks = [CgroupHook(cgroup, name) for name in HOOKS]
        there = {each: _map_ids(each) for hook in hooks for each in hook.attached()}
    found: set[int] = set()
    while more := {it for it, of in there.items() if it not in found and not maps.isdisjoint(of)}:
        found |= more
        maps.update(*(there[each] for each in more))
    return tuple(sorted(found))


def _map_ids(program: int) -> set[int]:
    descriptors = maps_of(program)
    try:
        return {identity(fd)[0] for fd in descriptors}
    finally:
        for fd in descriptors:
            os.close(fd)


def _policy(config: Map) -> int:
    value = config.lookup(KEY.pack(abi.CONFIG_KEY))
    return int(abi.Config.from_buffer_copy(value).policy)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise DatapathError(f"can't read what was learned before: {exc.strerror}") from exc
