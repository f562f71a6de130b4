"""What the kernel tells of a daemon's BPF programs and maps: run times, memory.

Found through the descriptors that the process holds, so that others on the
machine are not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from enforcer.edge.bpf import PROG_GET_FD_BY_ID, ById, bpf, program_id, program_name
from tests.bpf.run import mean_ns

_ENABLE_STATS = 32  # enum bpf_cmd; since Linux 5.8
_STATS_RUN_TIME = 0  # enum bpf_stats_type


_LOAD, _SCHED_CLS = 5, 3  # enum bpf_cmd, enum bpf_prog_type
# "r0 = 0" and "exit", as struct bpf_insn
_EMPTY = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


class _Load(ctypes.Structure):
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
    )


class _EnableStats(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32),)


@dataclass(frozen=True)
class Program:
    """A loaded program and how often it ran for how long, while statistics were on."""

    id: int
    name: str
    run_time_ns: int
    runs: int

    @property
    def mean_ns(self) -> float:
        """Of a run."""
        return self.run_time_ns / self.runs

    def since(self, before: Program) -> Program:
        """Return what ran after *before* was read."""
        return replace(
            self, run_time_ns=self.run_time_ns - before.run_time_ns, runs=self.runs - before.runs
        )


@contextlib.contextmanager
def statistics() -> Iterator[None]:
    """Have the kernel time every BPF program until the block ends, or this process."""
    fd = bpf(_ENABLE_STATS, _EnableStats(_STATS_RUN_TIME))
    try:
        yield
    finally:
        os.close(fd)


def programs(pid: int) -> dict[int, Program]:
    """Return the programs that the process holds, by id."""
    found = {}
    for info in _descriptors(pid):
        if "prog_id" in info:
            number = int(info["prog_id"])
            times = int(info["run_time_ns"]), int(info["run_cnt"])
            found[number] = Program(number, program_name(number), *times)
    return found


def map_bytes(pid: int) -> int:
    """Return the kernel memory of the maps that the process holds."""
    found = {i["map_id"]: int(i["memlock"]) for i in _descriptors(pid) if "map_id" in i}
    return sum(found.values())


def resident_bytes(pid: int) -> int:
    """Return the resident memory of the process."""
    status = _fields(Path(f"/proc/{pid}/status").read_text())
    return int(status["VmRSS"].split()[0]) << 10


def run_ns(program_id: int, packet: bytes, repeat: int) -> int:
    """Run a program *repeat* times on *packet*; return the mean nanoseconds of a run."""
    fd = bpf(PROG_GET_FD_BY_ID, ById(program_id))
    try:
        return mean_ns(fd, packet, repeat)
    finally:
        os.close(fd)


def empty_ns(repeat: int) -> float:
    """Return the nanoseconds that statistics give each run of a program that does nothing."""
    code, licence = ctypes.create_string_buffer(_EMPTY), ctypes.create_string_buffer(b"GPL")
    attr = _Load(
        prog_type=_SCHED_CLS,
        insn_cnt=len(_EMPTY) // 8,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(licence),
    )
    fd = bpf(_LOAD, attr)
    try:
        number = program_id(fd)
        run_ns(number, bytes(64), repeat)
        return programs(os.getpid())[number].mean_ns
    finally:
        os.close(fd)


def _descriptors(pid: int) -> Iterator[dict[str, str]]:
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield _fields(path.read_text())


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
