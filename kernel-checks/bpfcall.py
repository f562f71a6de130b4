"""bpf(2) by hand: maps, programs of a few instructions, and where they are attached.

libc has no wrapper. What is made belongs to the calling process: see `scratch`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct

from .confinement import Confinement, explain
from .result import Result

# From the kernel's system call tables.
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
# linux/bpf.h: enum bpf_cmd
_MAP_CREATE, _PROG_LOAD, _PROG_ATTACH, _INFO = 0, 5, 8, 15
# struct bpf_prog_info up to jited_prog_len: type, id, tag
_PROGRAM_INFO = struct.Struct("=II8sI")
_ALLOW_MULTI = 1 << 1
_NAME = b"enforcer_check"
_LOG_SIZE = 1 << 16

# linux/bpf.h: enum bpf_map_type, bpf_prog_type, bpf_attach_type
HASH, ARRAY, PERF_EVENT_ARRAY, PERCPU_ARRAY, LRU_HASH, LPM_TRIE = 1, 2, 4, 6, 9, 11
NO_PREALLOC = 1
SOCKET_FILTER, SCHED_CLS, CGROUP_SKB, SOCK_OPS, SOCK_ADDR = 1, 3, 8, 13, 18
CGROUP_EGRESS, CGROUP_SOCK_OPS, CGROUP_CONNECT4 = 1, 3, 10

_INSTRUCTION = struct.Struct("=BBhi")
STACK = 10  # the register that points to its end


class Refused(OSError):
    """bpf(2) failed.

    Attributes:
        step: what was tried.
    """

    def __init__(self, step: str, number: int, words: str = "") -> None:
        super().__init__(
            number, f"{os.strerror(number)}: {words}" if words else os.strerror(number)
        )
        self.step = step

    def as_result(self, check_id: str, options: str) -> Result:
        """Return what it means to the check of that name; see `confinement.explain`."""
        confinement = Confinement.of_this_process()
        return explain(check_id, self.step, self, confinement, options)


class UnknownMachine(OSError):
    """The number of bpf(2) is not known here."""


def lift_memory_lock_limit() -> None:
    """Lift it as far as this process may: see `memlock`."""
    try:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except ValueError:
        return


def create_map(name: str, kind: int, key: int, value: int, entries: int = 1, flags: int = 0) -> int:
    """Return the descriptor of a new map.

    Args:
        name: of its type, for messages.
        kind: its type.
        key: octets of a key.
        value: octets of a value.
        entries: so many at most.
        flags: of the map.

    Raises:
        Refused: by the kernel.
    """
    fields = (kind, key, value, entries, flags, 0, 0, _NAME)
    return _call(f"a map of type {name}", _MAP_CREATE, struct.pack("=7I16s", *fields))


def load(name: str, kind: int, code: bytes, hook: int = 0) -> int:
    """Return the descriptor of a program that the verifier accepted.

    Args:
        name: what it is, for messages.
        kind: its type.
        code: its instructions.
        hook: where it is to be attached, for types whose verifier must know.

    Raises:
        Refused: with the verifier's last words.
    """
    step = f"a program {name}"
    try:
        return _call(step, _PROG_LOAD, _program(kind, code, hook, None))
    except Refused as exc:
        if exc.errno in {errno.EPERM, errno.ENOSYS}:
            raise
        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return _call(step, _PROG_LOAD, _program(kind, code, hook, log))
        except Refused as again:
            lines = log.value.decode(errors="replace").splitlines()
            words = [line for line in lines if line and not line.startswith("processed ")]
            # Of EACCES: a verifier's no, not one to the caller.
            number = errno.EINVAL if words and again.errno == errno.EACCES else again.errno or 0
            raise Refused(step, number, words[-1] if words else "") from again


def attach(name: str, directory: int, program: int, hook: int) -> None:
    """Attach a program to a cgroup, beside those of others.

    Args:
        name: what it is, for messages.
        directory: descriptor of the cgroup's.
        program: descriptor of the program.
        hook: of the cgroup.

    Raises:
        Refused: by the kernel.
    """
    fields = (directory, program, hook, _ALLOW_MULTI)
    _call(f"attaching {name} to a cgroup", _PROG_ATTACH, struct.pack("=4I", *fields))


def compiled_size(program: int) -> int:
    """Return how many octets of machine instructions a program has; 0 if it is interpreted.

    Raises:
        Refused: by the kernel.
    """
    described = ctypes.create_string_buffer(_PROGRAM_INFO.size)
    fields = (program, len(described), ctypes.addressof(described))
    _call("asking about a program", _INFO, struct.pack("=IIQ", *fields))
    size: int = _PROGRAM_INFO.unpack(described)[-1]
    return size


def move(register: int, constant: int) -> bytes:
    """Return the instruction that sets *register* to *constant*."""
    return _INSTRUCTION.pack(0xB7, register, 0, constant)


def copy(register: int, source: int) -> bytes:
    """Return the instruction that sets *register* to what *source* holds."""
    return _INSTRUCTION.pack(0xBF, register | source << 4, 0, 0)


def add(register: int, constant: int) -> bytes:
    """Return the instruction that adds *constant* to *register*."""
    return _INSTRUCTION.pack(0x07, register, 0, constant)


def jump_if_less(register: int, constant: int, offset: int) -> bytes:
    """Return the instruction that jumps, by instructions after the next, if *register* is less."""
    return _INSTRUCTION.pack(0xA5, register, offset, constant)


def jump_if_zero(register: int, offset: int) -> bytes:
    """Return the instruction that jumps, by instructions after the next, if *register* is 0."""
    return _INSTRUCTION.pack(0x15, register, offset, 0)


def load_word(register: int, source: int, offset: int) -> bytes:
    """Return the instruction that loads 4 octets at what *source* points to and *offset*."""
    return _INSTRUCTION.pack(0x61, register | source << 4, offset, 0)


def load_double(register: int, source: int, offset: int) -> bytes:
    """Return the instruction that loads 8 octets likewise: a pointer."""
    return _INSTRUCTION.pack(0x79, register | source << 4, offset, 0)


def store_double(offset: int, constant: int) -> bytes:
    """Return the instruction that stores 8 octets on the stack."""
    return _INSTRUCTION.pack(0x7A, STACK, offset, constant)


def load_map(register: int, fd: int) -> bytes:
    """Return the instruction that loads the map of this descriptor."""
    return _INSTRUCTION.pack(0x18, register | 1 << 4, 0, fd) + _INSTRUCTION.pack(0, 0, 0, 0)


def call(helper: int) -> bytes:
    """Return the instruction that calls a helper, by its number in enum bpf_func_id."""
    return _INSTRUCTION.pack(0x85, 0, 0, helper)


def leave(value: int) -> bytes:
    """Return the instructions that end the program with *value*."""
    return move(0, value) + _INSTRUCTION.pack(0x95, 0, 0, 0)


def output(events: int) -> bytes:
    """Return the instructions that hand 8 octets to a perf event array; register 6: the context."""
    return (
        store_double(-8, 0)
        + copy(1, 6)
        + load_map(2, events)
        # BPF_F_CURRENT_CPU, 32 bits of ones without a sign
        + _INSTRUCTION.pack(0xB4, 3, 0, -1)
        + copy(4, STACK)
        + add(4, -8)
        + move(5, 8)
        + call(25)
    )


def _program(
    kind: int, code: bytes, hook: int, log: ctypes.Array[ctypes.c_char] | None
) -> tuple[bytes, tuple[object, ...]]:
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    fields = (
        kind,
        len(code) // _INSTRUCTION.size,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        0 if log is None else 1,  # level
        0 if log is None else _LOG_SIZE,
        0 if log is None else ctypes.addressof(log),
        0,  # kernel version
        0,  # flags
        _NAME,
        0,  # interface
        hook,
    )
    return struct.pack("=IIQQIIQII16sII", *fields), (instructions, licence, log)


def _call(step: str, command: int, attributes: bytes | tuple[bytes, tuple[object, ...]]) -> int:
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        text = f'number of bpf(2) not known for machine "{os.uname().machine}"'
        raise UnknownMachine(errno.ENOSYS, text)
    packed = attributes if isinstance(attributes, bytes) else attributes[0]
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    done: int = libc.syscall(ctypes.c_long(number), command, buffer, len(packed))
    if done < 0:
        raise Refused(step, ctypes.get_errno())
    return done
