"""Programs and maps before they are in the kernel: a compiler makes them, a file may keep them."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from enforcer.edge.bpf import MapInfo, Objects, bpf, info  # noqa: TID251 - the system call

MAP_CREATE, PROG_LOAD = 0, 5  # include/uapi/linux/bpf.h
INSTRUCTION = struct.Struct("=BBhi")  # operation, registers, offset, constant
LOAD_CONSTANT = 0x18  # BPF_LD | BPF_IMM | BPF_DW, which takes two instructions
# The source register of one whose constant is a map's descriptor; in `Bytecode`: its place.
MAP_FD = 1
# The largest that Linux took before kernel commit 7a9f5c65abcc ("bpf: increase verifier log limit")
# (in v5.2); a verifier that has more to say keeps the first part before 1216640938035 ("bpf: Switch
# BPF verifier log to be a rotating log by default") (in v6.4), the last from then on.
LOG_SIZE = (1 << 24) - 1
LICENCE = b"GPL"


class NotLoaded(Exception):
    """The kernel refuses; the message says what, and the verifier's last word."""


class Spoilt(Exception):
    """Octets that are no bytecode, or not whole."""


class MapAttr(ctypes.Structure):
    """union bpf_attr of BPF_MAP_CREATE up to the name."""

    _fields_ = (
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * 16),
    )


class _ProgramAttr(ctypes.Structure):
    # union bpf_attr of BPF_PROG_LOAD up to the hook.
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_void_p),
        ("license", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class MapShape:
    """A map to create.

    Attributes:
        name: as the programs' source has it.
        kind: of enum bpf_map_type.
        key_size: octets.
        value_size: likewise.
        max_entries: so many at most.
        flags: of map_flags.
    """

    name: str
    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True)
class Program:
    """A program to load.

    Attributes:
        name: as its function is called.
        kind: of enum bpf_prog_type.
        hook: of enum bpf_attach_type, for the kinds that the verifier wants to know it of.
        part: all works without those of the same part; empty if nothing does without it.
        code: its instructions; where they want a map's descriptor they have its place in `maps`.
    """

    name: str
    kind: int
    hook: int
    part: str
    code: bytes


@dataclass(frozen=True)
class Bytecode:
    """All programs and the maps they share."""

    maps: tuple[MapShape, ...]
    programs: tuple[Program, ...]

    @classmethod
    def of(cls, programs: Iterable[Program]) -> Bytecode:
        """Return *programs*, whose code has descriptors of maps that are open here.

        Raises:
            OSError: they are not.
        """
        places: dict[int, int] = {}

        def place(fd: int) -> int:
            return places.setdefault(fd, len(places))

        moved = tuple(replace(each, code=_with_maps(each.code, place)) for each in programs)
        return cls(tuple(map(_shape, places)), moved)

    @classmethod
    def read(cls, octets: bytes) -> Bytecode:
        """Return what `octets` wrote.

        Raises:
            Spoilt: it did not, or something is missing.
        """
        digest, _, text = octets.partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise Spoilt("the digest is another one")
        try:
            found = json.loads(text)
            programs = tuple(
                Program(**each | {"code": base64.b64decode(each["code"], validate=True)})
                for each in found["programs"]
            )
            return cls(tuple(MapShape(**each) for each in found["maps"]), programs)
        except (ValueError, TypeError, KeyError) as exc:
            raise Spoilt(str(exc)) from exc

    def octets(self) -> bytes:
        """Return it as a file keeps it."""
        document = {
            "maps": [asdict(each) for each in self.maps],
            "programs": [
                asdict(each) | {"code": base64.b64encode(each.code).decode()}
                for each in self.programs
            ],
        }
        text = json.dumps(document).encode()
        return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def load(bytecode: Bytecode) -> Objects:
    """Return the descriptors of all programs and maps; of each optional part all or none.

    Raises:
        NotLoaded: the kernel refuses one that all depends on; nothing is left open.
    """
    programs: dict[str, int] = {}
    maps: dict[str, int] = {}
    refused: dict[str, str] = {}
    try:
        for shape in bytecode.maps:
            maps[shape.name] = _create(shape)
        fds = tuple(maps.values())
        for program in bytecode.programs:
            if program.part in refused:
                continue
            try:
                programs[program.name] = _load(program, fds)
            except NotLoaded as exc:
                if not program.part:
                    raise
                refused[program.part] = str(exc)
    except NotLoaded:
        Objects(programs, maps).close()
        raise
    useless = {each.name for each in bytecode.programs if each.part in refused}
    for name in useless & programs.keys():
        os.close(programs.pop(name))
    return Objects(programs, maps, refused)


def _with_maps(code: bytes, translated: Callable[[int], int]) -> bytes:
    """Return *code* with the constant of each instruction that loads a map translated."""
    changed = bytearray(code)
    second = False  # half of a LOAD_CONSTANT: nothing but the rest of its constant
    for at in range(0, len(code), INSTRUCTION.size):
        operation, registers, offset, constant = INSTRUCTION.unpack_from(code, at)
        if not second and operation == LOAD_CONSTANT and registers >> 4 == MAP_FD:
            INSTRUCTION.pack_into(changed, at, operation, registers, offset, translated(constant))
        second = not second and operation == LOAD_CONSTANT
    return bytes(changed)


def _shape(fd: int) -> MapShape:
    found = info(fd, MapInfo())
    return MapShape(
        bytes(found.name).decode(),
        found.type,
        found.key_size,
        found.value_size,
        found.max_entries,
        found.map_flags,
    )


def _create(shape: MapShape) -> int:
    attr = MapAttr(
        map_type=shape.kind,
        key_size=shape.key_size,
        value_size=shape.value_size,
        max_entries=shape.max_entries,
        map_flags=shape.flags,
        map_name=shape.name.encode(),
    )
    try:
        return bpf(MAP_CREATE, attr)
    except OSError as exc:
        raise NotLoaded(f'can\'t create the BPF map "{shape.name}": {exc.strerror}') from exc


def _load(program: Program, maps: Sequence[int]) -> int:
    code, licence = _with_maps(program.code, maps.__getitem__), ctypes.c_char_p(LICENCE)
    attr = _ProgramAttr(
        prog_type=program.kind,
        insn_cnt=len(code) // INSTRUCTION.size,
        insns=ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p),
        license=licence,
        prog_name=program.name.encode(),
        expected_attach_type=program.hook,
    )
    try:
        return bpf(PROG_LOAD, attr)
    except OSError as exc:
        why = _verdict(attr) or exc.strerror
        raise NotLoaded(f'can\'t load the BPF program "{program.name}": {why}') from exc


def _verdict(attr: _ProgramAttr) -> str:
    """Return the last thing that the verifier says of what it refused; empty if nothing."""
    said = ctypes.create_string_buffer(LOG_SIZE)
    attr.log_level, attr.log_size, attr.log_buf = 1, LOG_SIZE, ctypes.addressof(said)
    try:
        os.close(bpf(PROG_LOAD, attr))
    except OSError:
        lines = said.value.decode(errors="replace").splitlines()
        # It ends with statistics.
        words = [each for each in lines if each and not each.startswith("processed ")]
        return words[-1] if words else ""
    return ""
