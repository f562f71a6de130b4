"""The perf ring of one CPU: what BPF programs submit there, record by record."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import threading
from dataclasses import dataclass

from enforcer.edge.syscall import PERF_EVENT_OPEN, syscall  # noqa: TID251 - what it is opened with

# include/uapi/linux/perf_event.h: types, record types, and where struct
# perf_event_mmap_page has data_head and data_tail.
TYPE_SOFTWARE, COUNT_SW_BPF_OUTPUT, SAMPLE_RAW = 1, 10, 1 << 10
FLAG_FD_CLOEXEC = 1 << 3
IOC_SET_OUTPUT = 0x2405  # _IO('$', 5)
RECORD_SAMPLE = 9
HEAD_AT, TAIL_AT = 1024, 1032
HEADER = struct.Struct("=IHH")  # type, misc, size
RAW_SIZE = struct.Struct("=I")
# All rings together: more on a machine of 64 CPUs would hold what a few of them bring.
TOTAL_PAGES = 1024
# Some hundred answers of one CPU while user space is busy; of the largest, seven.
MOST_PAGES, LEAST_PAGES = 64, 8


class _EventAttr(ctypes.Structure):
    # struct perf_event_attr up to PERF_ATTR_SIZE_VER0.
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("bp_addr", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Taken:
    """What was read of a ring.

    Attributes:
        samples: what programs submitted, padded at the end by up to 7 bytes.
        tail: where the next read begins.
    """

    samples: tuple[bytes, ...]
    tail: int


def take(data: memoryview, tail: int, head: int, limit: int | None = None) -> Taken:
    """Return the samples between *tail* and *head*. Pure.

    Records of other types are passed over: PERF_RECORD_LOST says how many did not fit,
    and the programs count those themselves.

    Args:
        data: the ring without its first page; its size is a power of 2.
        tail: position of the first record; positions only grow, the ring is modulo its size.
        head: position behind the last one.
        limit: at most so many samples; None: all.
    """
    samples: list[bytes] = []
    while tail < head and (limit is None or len(samples) < limit):
        # Records are multiples of 8 bytes, so that a header is never cut in two.
        kind, _, size = HEADER.unpack_from(data, tail % len(data))
        if kind == RECORD_SAMPLE:
            begin = tail + HEADER.size
            (length,) = RAW_SIZE.unpack_from(data, begin % len(data))
            samples.append(_copy(data, begin + RAW_SIZE.size, length))
        tail += size
    return Taken(tuple(samples), tail)


def _copy(data: memoryview, begin: int, length: int) -> bytes:
    at = begin % len(data)
    whole = data[at : at + length].tobytes()
    return whole + data[: length - len(whole)].tobytes()


def pages(cpus: int) -> int:
    """Return how many pages, a power of 2, the ring of each of *cpus* gets."""
    fair = 1 << (TOTAL_PAGES // cpus).bit_length() - 1 if cpus <= TOTAL_PAGES else 0
    return max(LEAST_PAGES, min(MOST_PAGES, fair))


class Ring:
    """The ring of *cpu*, of *page_count* pages, behind two descriptors for the programs' map.

    To wake somebody, the kernel sends its own CPU an interrupt (irq_work), before the packet
    goes on: dns_answer takes 7.3 us instead of 1.5 on a virtual machine, which leaves itself
    for that. What is submitted through `quiet_fd` wakes nobody before the ring is half full.

    Attributes:
        fd: what is submitted through it wakes at once. Polls readable, for either; the
            kernel tells each wake-up to one poll only.
        quiet_fd: for as long as somebody looks by himself.

    Raises:
        OSError: the kernel refuses.
    """

    def __init__(self, cpu: int, page_count: int) -> None:
        # Whoever polls learns of each record at once: one that comes while the others
        # are read costs no wake-up.
        self.fd = _opened(cpu, wakeup_events=1)
        try:
            size = (1 + page_count) * mmap.PAGESIZE
            self._memory = mmap.mmap(self.fd, size)
            self.quiet_fd = _opened(cpu, wakeup_events=0)
        except OSError:
            os.close(self.fd)
            raise
        try:
            fcntl.ioctl(self.quiet_fd, IOC_SET_OUTPUT, self.fd)
        except OSError:
            os.close(self.quiet_fd)
            os.close(self.fd)
            raise
        self._data = memoryview(self._memory)[mmap.PAGESIZE :]
        # Plain loads and stores of 8 aligned bytes, which the processors do at once.
        self._head = ctypes.c_uint64.from_buffer(self._memory, HEAD_AT)
        self._tail = ctypes.c_uint64.from_buffer(self._memory, TAIL_AT)
        self._lock = threading.Lock()
        self._lock.acquire()

    def read(self, limit: int | None = None) -> tuple[bytes, ...]:
        """Return what the ring holds now, oldest first, and free its place.

        Args:
            limit: at most so many; None: all.
        """
        head, tail = self._head.value, self._tail.value
        self._barrier()  # no record is read before the head that says it is there
        taken = take(self._data, tail, head, limit)
        self._barrier()  # nor after the tail that gives its place away
        self._tail.value = taken.tail
        return taken.samples

    def close(self) -> None:
        """Close the ring; what it holds is lost."""
        del self._head, self._tail
        self._data.release()
        self._memory.close()
        os.close(self.quiet_fd)
        os.close(self.fd)

    def _barrier(self) -> None:
        """Order the loads and stores around it, as far as Python can.

        Taking a lock is an acquire, giving it back a release, and neither passes the other
        when the release comes first (C11; on x86 each is a locked instruction, on arm64 STLR
        and LDAR or their atomics). So nothing from before is done after, nor the reverse.
        """
        self._lock.release()
        self._lock.acquire()


def _opened(cpu: int, wakeup_events: int) -> int:
    """Return the descriptor of an event that BPF programs on *cpu* may submit to."""
    attr = _EventAttr(
        type=TYPE_SOFTWARE,
        size=ctypes.sizeof(_EventAttr),
        config=COUNT_SW_BPF_OUTPUT,
        sample_period=1,
        sample_type=SAMPLE_RAW,
        wakeup_events=wakeup_events,
    )
    everybody, no_group = -1, -1
    where = (everybody, cpu, no_group, ctypes.c_ulong(FLAG_FD_CLOEXEC))
    return syscall(PERF_EVENT_OPEN, ctypes.byref(attr), *where)
