"""The tc filters of our programs, beside those of others."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from enforcer.core.interfaces import Interface, Program
from enforcer.edge.rtnetlink import (  # noqa: TID251 - its base
    CREATE,
    EXCLUSIVE,
    NESTED,
    Rtnetlink,
    attribute,
    attributes,
    text,
    translated,
)
from enforcer.errors import DatapathError

# linux/rtnetlink.h
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _DELTFILTER, _GETTFILTER = 44, 45, 46
# family, interface, handle, parent, info
_TC = struct.Struct("=BxxxiIII")
# linux/pkt_sched.h: the handle of clsact, its parent and those of its two hooks.
_CLSACT_HANDLE, _CLSACT_PARENT = 0xFFFF0000, 0xFFFFFFF1
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_CLSACT = "clsact"
_BPF = "bpf"
_ETH_P_ALL = 0x0003
_NAME_PREFIX = "enforcer/"
# Low numbers run first, and an earlier filter that ends the chain would hide packets
# from us. Ours always pass on, so they can run before anybody's.
_PRIORITIES = range(1, 100)

# The same handle twice on one hook would be one filter.
HOOKS = {
    Program.DNS_QUERY: (EGRESS, 0xE4F0),
    Program.DNS_ANSWER: (INGRESS, 0xE4F0),
    Program.FORWARD_MARK: (INGRESS, 0xE4F1),
}


class _Attribute(IntEnum):
    """linux/rtnetlink.h: TCA_*."""

    KIND = 1
    OPTIONS = 2


class _Bpf(IntEnum):
    """linux/pkt_cls.h: TCA_BPF_*, nested in OPTIONS."""

    FD = 6
    NAME = 7
    FLAGS = 8
    ID = 11


_DIRECT_ACTION = 1  # TCA_BPF_FLAG_ACT_DIRECT


@dataclass(frozen=True)
class _Filter:
    """A filter that is on a hook.

    Attributes:
        info: priority and protocol, as in struct tcmsg.
        name: empty unless it is a bpf filter.
        program_id: 0 unless it is a bpf filter.
    """

    index: int
    parent: int
    handle: int
    info: int
    kind: str
    name: str
    program_id: int

    @property
    def priority(self) -> int:
        return self.info >> 16

    @property
    def program(self) -> Program | None:
        """The program of ours that it runs."""
        for program, (parent, _) in HOOKS.items():
            if parent == self.parent and self.name == _NAME_PREFIX + program.value:
                return program
        return None


class Filters:
    """Attach programs to interfaces of the network namespace it was made in.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self) -> None:
        self._netlink = Rtnetlink()

    def close(self) -> None:
        """Close the netlink socket; what is attached stays."""
        self._netlink.close()

    def attach(self, interface: Interface, programs: Mapping[Program, int]) -> None:
        """Put *programs* on *interface*, in place of those of an earlier run.

        An interface that is gone meanwhile is none of ours any more.

        Args:
            interface: as listed a moment ago.
            programs: their descriptors.
        """
        with translated(f'attach to interface "{interface.name}"'):
            try:
                self._ensure_clsact(interface)
                for program, fd in programs.items():
                    self._put(interface.index, program, fd)
            except OSError as exc:
                if exc.errno != errno.ENODEV:
                    raise

    def attached(self) -> dict[int, dict[Program, int]]:
        """Return the id of each program of ours, by the index of its interface."""
        found: dict[int, dict[Program, int]] = {}
        with translated("list filters"):
            for index in self._with_clsact():
                for each in self._filters(index):
                    if each.program is not None:
                        found.setdefault(index, {})[each.program] = each.program_id
        return found

    def detach(self, unwanted: Mapping[int, Collection[Program]] | None = None) -> None:
        """Take filters of ours away, and an emptied clsact with the last one.

        Filters of others stay, and so does the qdisc they need.

        Args:
            unwanted: programs by the index of their interface; None: all of ours.
        """
        with translated("detach filters"):
            for index in self._with_clsact() if unwanted is None else unwanted:
                programs = frozenset(Program) if unwanted is None else unwanted[index]
                try:
                    self._detach_from(index, programs)
                except OSError as exc:
                    if exc.errno != errno.ENODEV:
                        raise

    def _detach_from(self, index: int, programs: Collection[Program]) -> None:
        present = tuple(self._filters(index))
        ours = tuple(each for each in present if each.program in programs)
        for each in ours:
            body = _TC.pack(socket.AF_UNSPEC, index, each.handle, each.parent, each.info)
            self._netlink.change(_DELTFILTER, body + _kind(_BPF))
        if ours and len(ours) == len(present):
            body = _TC.pack(socket.AF_UNSPEC, index, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
            self._netlink.change(_DELQDISC, body)

    def _put(self, index: int, program: Program, fd: int) -> None:
        parent, handle = HOOKS[program]
        present = tuple(self._listed(index, parent))
        old = next((each for each in present if each.program is program), None)
        if old is not None:
            handle, priority = old.handle, old.priority
        else:
            priority = _free_priority(handle, present)
        options = attribute(_Bpf.FD, struct.pack("=I", fd))
        options += attribute(_Bpf.NAME, f"{_NAME_PREFIX}{program.value}\0".encode())
        options += attribute(_Bpf.FLAGS, struct.pack("=I", _DIRECT_ACTION))
        body = _TC.pack(socket.AF_UNSPEC, index, handle, parent, _info(priority))
        body += _kind(_BPF) + attribute(_Attribute.OPTIONS | NESTED, options)
        self._netlink.change(_NEWTFILTER, body, CREATE)

    def _ensure_clsact(self, interface: Interface) -> None:
        body = _TC.pack(
            socket.AF_UNSPEC, interface.index, _CLSACT_HANDLE, _CLSACT_PARENT, 0
        ) + _kind(_CLSACT)
        try:
            self._netlink.change(_NEWQDISC, body, CREATE | EXCLUSIVE)
        except OSError as exc:
            if exc.errno == errno.EEXIST:
                self._refuse_ingress(interface)
            elif exc.errno in (errno.ENOENT, errno.EOPNOTSUPP):
                raise DatapathError(
                    f'this kernel has no clsact qdisc for interface "{interface.name}"',
                    hint="load the module sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS",
                ) from exc
            else:
                raise

    def _refuse_ingress(self, interface: Interface) -> None:
        # Adding to its egress side would succeed, and run on ingress.
        request = _TC.pack(socket.AF_UNSPEC, interface.index, 0, _CLSACT_PARENT, 0)
        if _qdisc_kind(self._netlink.get(_GETQDISC, request)) != _CLSACT:
            raise DatapathError(
                f'interface "{interface.name}" has somebody\'s ingress qdisc in place of clsact',
                hint=f"remove it: tc qdisc del dev {interface.name} ingress",
            )

    def _with_clsact(self) -> tuple[int, ...]:
        found = []
        for message in self._netlink.dump(_GETQDISC, _TC.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, index, _, _, _ = _TC.unpack_from(message)
            if _qdisc_kind(message) == _CLSACT:
                found.append(index)
        return tuple(found)

    def _filters(self, index: int) -> Iterator[_Filter]:
        for parent in (INGRESS, EGRESS):
            yield from self._listed(index, parent)

    def _listed(self, index: int, parent: int) -> Iterator[_Filter]:
        request = _TC.pack(socket.AF_UNSPEC, index, 0, parent, 0)
        for message in self._netlink.dump(_GETTFILTER, request):
            each = _filter(message)
            if each.handle:  # zero: the head of a priority, not a filter
                yield each


def _qdisc_kind(message: bytes) -> str:
    return text(attributes(message, _TC.size)[_Attribute.KIND])


def _filter(message: bytes) -> _Filter:
    _, index, handle, parent, info = _TC.unpack_from(message)
    found = attributes(message, _TC.size)
    kind = text(found[_Attribute.KIND])
    options = attributes(found.get(_Attribute.OPTIONS, b"")) if kind == _BPF else {}
    name = text(options.get(_Bpf.NAME, b""))
    (program_id,) = struct.unpack("=I", options.get(_Bpf.ID, bytes(4)))
    return _Filter(index, parent, handle, info, kind, name, program_id)


def _free_priority(handle: int, present: Collection[_Filter]) -> int:
    """Return the first priority where *handle* can be added: one has one kind and protocol."""
    for priority in _PRIORITIES:
        there = [each for each in present if each.priority == priority]
        same = all(each.kind == _BPF and each.info == _info(priority) for each in there)
        if same and all(each.handle != handle for each in there):
            return priority
    raise DatapathError(f"others have the first {_PRIORITIES.stop - 1} priorities of filters")


def _info(priority: int) -> int:
    return priority << 16 | socket.htons(_ETH_P_ALL)


def _kind(name: str) -> bytes:
    return attribute(_Attribute.KIND, f"{name}\0".encode())
