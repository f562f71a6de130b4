"""The elements of BPF maps, in bytes."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from enforcer.edge.bpf import MapInfo, bpf, info  # noqa: TID251 - maps are reached through it
from enforcer.errors import DatapathError

# enum bpf_cmd of include/uapi/linux/bpf.h.
LOOKUP, UPDATE, DELETE, NEXT_KEY = 1, 2, 3, 4
LOOKUP_BATCH, UPDATE_BATCH, DELETE_BATCH = 24, 26, 27
# A mebibyte of the largest keys: beyond, batches get no faster.
BATCH = 4096
# Where a batched lookup goes on: a key, or a number of 4 bytes.
LEAST_POSITION = 4

T = TypeVar("T")
Name = TypeVar("Name")
Value = TypeVar("Value")


class _Element(ctypes.Structure):
    # union bpf_attr of the commands for one element.
    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("key", ctypes.c_char_p),
        ("value", ctypes.c_char_p),  # or the next key
        ("flags", ctypes.c_uint64),
    )


class _Batch(ctypes.Structure):
    # union bpf_attr of BPF_MAP_*_BATCH.
    _fields_ = (
        ("in_batch", ctypes.c_void_p),
        ("out_batch", ctypes.c_void_p),
        ("keys", ctypes.c_char_p),
        ("values", ctypes.c_char_p),
        ("count", ctypes.c_uint32),
        ("map_fd", ctypes.c_uint32),
        ("elem_flags", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class Map:
    """The elements of one map.

    The batched commands came with Linux 5.6, for one type of map after the other; where
    one is refused, for whatever reason, the elements are done one by one.

    Args:
        name: for messages.
        fd: stays the caller's to close.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, name: str, fd: int) -> None:
        self._name = name
        self._fd = fd
        with self._translated("describe itself"):
            described = info(fd, MapInfo())
        self._key_size, self._value_size = int(described.key_size), int(described.value_size)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many bytes a key and a value have."""
        return self._key_size, self._value_size

    def update(self, elements: Iterable[tuple[bytes, bytes]]) -> None:
        """Add *elements*, keys and values, or replace them, up to the first one refused."""
        for some in batches(elements):
            try:
                self._batch(UPDATE_BATCH, [key for key, _ in some], [value for _, value in some])
            except OSError:
                for key, value in some:
                    with self._translated("take an entry"):
                        self._element(UPDATE, key, value)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Delete the elements with *keys*, as far as there are any."""
        for some in batches(keys):
            try:
                self._batch(DELETE_BATCH, some)
            except OSError:
                for key in some:
                    # An LRU map may have dropped it.
                    with self._translated("drop an entry"), contextlib.suppress(FileNotFoundError):
                        self._element(DELETE, key)

    def lookup(self, key: bytes, copies: int = 1) -> bytes:
        """Return the value at *key*.

        Args:
            key: of an element.
            copies: of the value in the answer; a per-CPU map has one for each possible CPU,
                and its values are multiples of 8 bytes.
        """
        value = ctypes.create_string_buffer(self._value_size * copies)
        with self._translated("show an entry"):
            self._element(LOOKUP, key, value)
        return value.raw

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all elements; one that changes meanwhile may be left out, or come twice."""
        position = ctypes.create_string_buffer(max(self._key_size, LEAST_POSITION))
        keys = ctypes.create_string_buffer(self._key_size * BATCH)
        values = ctypes.create_string_buffer(self._value_size * BATCH)
        attr = _Batch(
            out_batch=ctypes.addressof(position),
            keys=_pointer(keys),
            values=_pointer(values),
            map_fd=self._fd,
        )
        more = True
        while more:
            attr.count = BATCH
            try:
                bpf(LOOKUP_BATCH, attr)
            except FileNotFoundError:
                more = False
            except OSError:
                yield from self._one_by_one()
                return
            found = _cut(keys.raw, self._key_size), _cut(values.raw, self._value_size)
            yield from itertools.islice(zip(*found, strict=True), attr.count)
            attr.in_batch = attr.out_batch

    def _one_by_one(self) -> Iterator[tuple[bytes, bytes]]:
        seen: set[bytes] = set()
        key: bytes | None = None
        following = ctypes.create_string_buffer(self._key_size)
        with contextlib.suppress(FileNotFoundError):  # the end
            while True:
                with self._translated("list its entries"):
                    self._element(NEXT_KEY, key, following)
                key = following.raw
                # After a key that is gone the kernel begins anew.
                if key not in seen:
                    seen.add(key)
                    with contextlib.suppress(FileNotFoundError):
                        yield key, self.lookup(key)

    def _element(
        self,
        command: int,
        key: bytes | None,
        value: bytes | ctypes.Array[ctypes.c_char] | None = None,
    ) -> None:
        content = _pointer(value) if isinstance(value, ctypes.Array) else value
        bpf(command, _Element(map_fd=self._fd, key=key, value=content))

    def _batch(self, command: int, keys: Sequence[bytes], values: Sequence[bytes] = ()) -> None:
        attr = _Batch(
            keys=b"".join(keys), values=b"".join(values), count=len(keys), map_fd=self._fd
        )
        bpf(command, attr)

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:  # no such element: the caller knows what that means
            raise
        except OSError as exc:
            raise DatapathError(f'BPF map "{self._name}" can\'t {doing}: {exc.strerror}') from exc


def identity(fd: int) -> tuple[int, str]:
    """Return a map's id, and the name that the kernel has for it, of 15 characters at most.

    Raises:
        OSError: the kernel refuses.
    """
    described = info(fd, MapInfo())
    return int(described.id), bytes(described.name).decode()


class Elements(Protocol):
    """What can be told elements."""

    def update(self, elements: Iterable[tuple[bytes, bytes]], /) -> None:
        """Add *elements*, keys and values, or replace them, up to the first one refused."""

    def delete(self, keys: Iterable[bytes], /) -> None:
        """Delete the elements with *keys*, as far as there are any."""


class Mirrored(Generic[Name, Value]):
    """A map that holds what it was told last and nothing else, and is not read for that.

    Args:
        elements: of the map, or of several that share the names.
        key: returns the key of a name.
        value: returns a value as the map has it.
    """

    def __init__(
        self, elements: Elements, key: Callable[[Name], bytes], value: Callable[[Value], bytes]
    ) -> None:
        self._map = elements
        self._key = key
        self._value = value
        self._held: Mapping[Name, Value] = {}
        # The map may have these otherwise, or not at all: the kernel refused some of them.
        self._unsure: set[Name] = set()

    def replace(self, wanted: Mapping[Name, Value]) -> None:
        """Make the map hold *wanted* alone, new elements before old ones go."""
        self.add(wanted)
        self.keep(wanted)

    def add(self, wanted: Mapping[Name, Value]) -> None:
        """Make the map hold *wanted* as well."""
        held, unsure = self._held, self._unsure
        # Most of 100,000 are the same objects as before.
        changed = [
            name
            for name, value in wanted.items()
            if ((before := held.get(name)) is not value and before != value) or name in unsure
        ]
        unsure.update(changed)
        self._map.update((self._key(name), self._value(wanted[name])) for name in changed)

    def keep(self, wanted: Mapping[Name, Value]) -> None:
        """Make the map hold *wanted* alone, which has been added; it must not change any more."""
        gone = {name for name in (*self._held, *self._unsure) if name not in wanted}
        self._unsure.update(gone)
        self._map.delete(map(self._key, gone))
        self._held, self._unsure = wanted, set()


def batches(elements: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield *elements*, BATCH at a time."""
    left = iter(elements)
    return iter(lambda: tuple(itertools.islice(left, BATCH)), ())


def _cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def _pointer(buffer: ctypes.Array[ctypes.c_char]) -> ctypes.c_char_p:
    return ctypes.cast(buffer, ctypes.c_char_p)
