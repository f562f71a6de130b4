"""Maps of a real kernel hold what they are told, in batches and one by one."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import parse_pattern
from enforcer.edge.loader import load
from enforcer.edge.maps import BATCH, Map, Mirrored
from enforcer.edge.programs import Programs
from enforcer.errors import DatapathError
from tests.bpf.conftest import GRANTS
from tests.lab.bpf_objects import DEVMAP_HASH, HASH, new_map

pytestmark = pytest.mark.root

LOOPBACK = struct.pack("=I", 1)  # a device map holds indexes of interfaces, lo's is 1
MakeMap = Callable[[int, int], Map]


def number(n: int) -> bytes:
    """Return *n* as a key or value."""
    return struct.pack("=I", n)


@pytest.fixture
def make() -> Iterator[MakeMap]:
    """Return what makes maps of a type and a capacity, for as long as the test runs."""
    fds: list[int] = []

    def new(kind: int, capacity: int) -> Map:
        fds.append(new_map("enforcer_test", kind, capacity))
        return Map("enforcer_test", fds[-1])

    yield new
    for fd in fds:
        os.close(fd)


# Device maps have none of the batched commands, as no map has before Linux 5.6.
@pytest.mark.parametrize("kind", [HASH, DEVMAP_HASH], ids=["batched", "one by one"])
@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 2 * BATCH + 7])
def test_elements_are_added_listed_and_deleted(make: MakeMap, kind: int, count: int) -> None:
    """However many, and beyond one batch: all are there, then all but one are not."""
    elements = make(kind, max(1, count))
    wanted = {number(n): LOOPBACK for n in range(count)}
    elements.update(wanted.items())
    assert {key for key, _ in elements.items()} == wanted.keys()
    elements.delete(list(wanted)[1:])
    assert {key for key, _ in elements.items()} == set(list(wanted)[:1])


@pytest.mark.parametrize("kind", [HASH, DEVMAP_HASH], ids=["batched", "one by one"])
def test_deleting_what_is_gone_is_no_error(make: MakeMap, kind: int) -> None:
    """An LRU map drops elements by itself: the others of the batch are deleted all the same."""
    elements = make(kind, 8)
    elements.update((number(n), LOOPBACK) for n in (1, 3))
    elements.delete(number(n) for n in range(5))
    assert dict(elements.items()) == {}


def test_values_come_back_as_they_were(make: MakeMap) -> None:
    """Keys keep their values, listed and looked up."""
    elements = make(HASH, 100)
    wanted = {number(n): number(n * n) for n in range(100)}
    elements.update(wanted.items())
    assert dict(elements.items()) == wanted
    assert elements.lookup(number(7)) == number(49)


def test_a_full_map_is_one_error_that_names_it(make: MakeMap) -> None:
    """What does not fit is refused, in a batch as alone."""
    with pytest.raises(DatapathError, match='"enforcer_test" can\'t take an entry'):
        make(HASH, 10).update((number(n), number(n)) for n in range(12))


def test_a_mirror_is_right_again_after_a_refusal(make: MakeMap) -> None:
    """A policy that does not fit is followed by one that does: nothing of it stays.

    Some of the refused elements are in the map, and the mirror can't know which.
    """
    elements = make(HASH, 10)
    mirror: Mirrored[bytes, bytes] = Mirrored(elements, bytes, bytes)
    old = {number(n): number(0) for n in range(5)}
    mirror.replace(dict(old))
    with pytest.raises(DatapathError):
        mirror.replace({number(n): number(1) for n in range(3, 50)})
    mirror.replace(dict(old))
    assert dict(elements.items()) == old


def test_a_mirror_writes_only_what_changed(make: MakeMap) -> None:
    """What somebody else changed meanwhile shows which elements were written again."""
    elements = make(HASH, 10)
    mirror: Mirrored[bytes, bytes] = Mirrored(elements, bytes, bytes)
    mirror.replace({number(1): number(1), number(2): number(2), number(3): number(3)})
    elements.update([(number(1), number(99)), (number(2), number(99))])
    mirror.replace({number(1): number(1), number(2): number(7)})
    assert dict(elements.items()) == {number(1): number(99), number(2): number(7)}


def test_exact_names_and_wildcards_share_the_maps_of_grants() -> None:
    """One that becomes the other leaves nothing behind, and takes nothing with it."""
    objects = load()
    programs = Programs(objects)

    def told(*patterns: str) -> set[bytes]:
        grants = (Grant(parse_pattern(each), (443,), private=False) for each in patterns)
        programs.set_grants(Grants(grants))
        return {
            key[4:].rstrip(b"\0")
            for name in ("short_grants", "long_grants")
            for key, _ in Map(name, objects.maps[name]).items()
        }

    try:
        assert told("a.example", "*.b.example") == {b"elpmaxe.a", b"elpmaxe.b."}
        assert told("*.a.example", "b.example") == {b"elpmaxe.a.", b"elpmaxe.b"}
        assert told("b.example", "*.b.example") == {b"elpmaxe.b", b"elpmaxe.b."}
        assert told() == set()
    finally:
        programs.close()


def test_a_hundred_thousand_names_are_told_at_once(programs: Programs) -> None:
    """In ten seconds at the very most: one at a time through ctypes they took a minute."""
    many = [
        Grant(parse_pattern(f"registry{n}.example.com"), (443,), private=False)
        for n in range(100_000)
    ]
    begin = time.monotonic()
    try:
        programs.set_grants(Grants(many))
        programs.set_grants(Grants(many[:-1]))
    finally:
        took = time.monotonic() - begin
        programs.set_grants(Grants(GRANTS))
    assert took < 10
