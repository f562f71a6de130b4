"""Perf rings, as images in memory: every record comes out as it went in."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.edge.cpus import parse
from enforcer.edge.ring import HEADER, LEAST_PAGES, MOST_PAGES, RAW_SIZE, pages, take

SAMPLE, LOST = 9, 2  # PERF_RECORD_SAMPLE, PERF_RECORD_LOST
SIZE = 4096

contents = st.binary(max_size=600)
# None is a record that says how many were lost.
records = st.lists(st.none() | contents, max_size=12)


def encode(content: bytes | None) -> bytes:
    """Return the record that the kernel writes: header, size, content, padding to 8 bytes."""
    if content is None:
        body, kind = bytes(16), LOST
    else:
        padding = -(HEADER.size + RAW_SIZE.size + len(content)) % 8
        body = RAW_SIZE.pack(len(content) + padding) + content + bytes(padding)
        kind = SAMPLE
    return HEADER.pack(kind, 0, HEADER.size + len(body)) + body


def image(wanted: list[bytes | None], tail: int) -> tuple[memoryview, int, list[bytes | None]]:
    """Return a ring with as many of *wanted* as fit after *tail*, its head, and which ones."""
    ring, head, written = bytearray(b"\xa5" * SIZE), tail, []
    for content in wanted:
        record = encode(content)
        if head + len(record) > tail + SIZE:
            break
        for byte in record:
            ring[head % SIZE] = byte
            head += 1
        written.append(content)
    return memoryview(bytes(ring)), head, written


@given(records, st.integers(min_value=0, max_value=1 << 40).map(lambda n: n * 8))
def test_every_sample_comes_out_whole_wherever_the_ring_wraps(
    wanted: list[bytes | None], tail: int
) -> None:
    """Contents come in order, padded by less than 8 bytes; the place of all is free."""
    ring, head, written = image(wanted, tail)
    taken = take(ring, tail, head)
    samples = [content for content in written if content is not None]
    assert taken.tail == head
    assert len(taken.samples) == len(samples)
    for sample, content in zip(taken.samples, samples, strict=True):
        assert sample[: len(content)] == content
        assert sample[len(content) :] == bytes(len(sample) - len(content))
        assert len(sample) - len(content) < 8


@given(records, st.integers(min_value=0, max_value=SIZE // 8).map(lambda n: n * 8))
def test_a_limited_read_leaves_the_others(wanted: list[bytes | None], tail: int) -> None:
    """Two at a time bring what all at once bring, and end."""
    ring, head, _ = image(wanted, tail)
    found: list[bytes] = []
    position = tail
    while (taken := take(ring, position, head, 2)).samples:
        assert len(taken.samples) <= 2
        found += taken.samples
        position = taken.tail
    assert tuple(found) == take(ring, tail, head).samples


def test_an_empty_ring_has_nothing() -> None:
    """Head and tail alike: nothing, and nothing is freed."""
    taken = take(memoryview(bytes(SIZE)), 8, 8)
    assert (taken.samples, taken.tail) == ((), 8)


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [(1, MOST_PAGES), (2, MOST_PAGES), (16, MOST_PAGES), (24, 32), (64, 16), (4096, LEAST_PAGES)],
)
def test_rings_of_many_cpus_are_smaller(cpus: int, expected: int) -> None:
    """A power of 2 each, as the kernel wants it, and room for the largest answers."""
    assert pages(cpus) == expected
    assert expected & (expected - 1) == 0
    assert expected * mmap.PAGESIZE > 4096 + 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0\n", (0,)), ("0-3\n", (0, 1, 2, 3)), ("0-1,4,6-7\n", (0, 1, 4, 6, 7))],
)
def test_lists_of_cpus_are_understood(text: str, expected: tuple[int, ...]) -> None:
    """The form of /sys/devices/system/cpu/online."""
    assert parse(text) == expected
