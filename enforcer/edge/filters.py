"""The tc filters of our programs, beside those of others."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from enforcer.core.interfaces import Interface, Program
from enforcer.edge.rtnetlink import Rtnetlink, translated  # noqa: TID251 - its base
from enforcer.errors import DatapathError

# linux/pkt_sched.h: the parents of the two hooks of clsact.
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_CLSACT = "clsact"
_BPF = "bpf"
_ETH_P_ALL = 0x0003
_NAME_PREFIX = "enforcer/"
# Ends the names of filters on a clsact that was there before them: it stays without them.
_FOUND_CLSACT = "/found-clsact"
# Low numbers run first, and an earlier filter that ends the chain would hide packets
# from us. Ours always pass on, so they can run before anybody's.
_PRIORITIES = range(1, 100)

# The same handle twice on one hook would be one filter.
HOOKS = {
    Program.DNS_QUERY: (EGRESS, 0xE4F0),
    Program.DNS_ANSWER: (INGRESS, 0xE4F0),
    Program.FORWARD_MARK: (INGRESS, 0xE4F1),
}
# Added to the handle of a filter beside one of an earlier process.
_BESIDE = 0x10
# A program of ours, or of an earlier process, and its id.
Running = tuple[Program, int]

# linux/pkt_cls.h: TCA_BPF_ID, and its length, type and value.
_BPF_ID = 11
_ID = struct.Struct("=HHI")


@dataclass(frozen=True)
class _Filter:
    """A filter that is on a hook.

    Attributes:
        info: priority and protocol, as in struct tcmsg.
        name: empty unless it is a bpf filter.
        program_id: 0 unless it is a bpf filter.
    """

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
        """The program of ours, or of an earlier process, that it runs."""
        # By the handle too: a name is free for anybody to use.
        name = self.name.removesuffix(_FOUND_CLSACT)
        for program, (parent, handle) in HOOKS.items():
            ours = self.parent == parent and self.handle in (handle, handle + _BESIDE)
            if ours and name == _NAME_PREFIX + program.value:
                return program
        return None

    @property
    def running(self) -> Running | None:
        return (self.program, self.program_id) if self.program is not None else None

    @property
    def found_clsact(self) -> bool:
        return self.name.endswith(_FOUND_CLSACT)


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
        """Put *programs* on *interface*, each beside that of an earlier process.

        Where there are two already it takes the place of one. An interface that is gone
        meanwhile is none of ours any more.

        Args:
            interface: as listed a moment ago.
            programs: their descriptors.
        """
        with translated(f'attach to interface "{interface.name}"'), _unless_gone():
            made = self._made_clsact(interface)
            present = tuple(self._filters(interface.index))
            ours = [each for each in present if each.program is not None]
            ending = "" if made or not all(each.found_clsact for each in ours) else _FOUND_CLSACT
            for program, fd in programs.items():
                name = _NAME_PREFIX + program.value + ending
                self._put(interface.index, program, fd, name, present)

    def attached(self) -> dict[int, frozenset[Running]]:
        """Return the programs of ours, and of earlier processes, by index of the interface."""
        found = {
            index: frozenset(each.running for each in self._filters(index) if each.running)
            for index in self._with_clsact()
        }
        return {index: there for index, there in found.items() if there}

    def program_ids(self) -> set[int]:
        """Return the ids of the programs of `attached`."""
        return {each for there in self.attached().values() for _, each in there}

    def detach(self, unwanted: Mapping[int, Collection[Running]] | None = None) -> None:
        """Take filters of ours away, and an emptied clsact that was made for them.

        Filters of others stay, and so does the qdisc they need, or had made before.

        Args:
            unwanted: programs by the index of their interface; None: all of ours.
        """
        for index in self._with_clsact() if unwanted is None else unwanted:
            with translated("detach filters"), _unless_gone():
                self._detach_from(index, None if unwanted is None else unwanted[index])

    def _detach_from(self, index: int, unwanted: Collection[Running] | None) -> None:
        present = tuple(self._filters(index))
        ours = tuple(
            each
            for each in present
            if each.running and (unwanted is None or each.running in unwanted)
        )
        for each in ours:
            self._netlink.ipr.tc(
                "del-filter", _BPF, index, each.handle, parent=each.parent, info=each.info
            )
        if len(ours) == len(present) and any(not each.found_clsact for each in ours):
            self._netlink.ipr.tc("del", _CLSACT, index)

    def _put(
        self, index: int, program: Program, fd: int, name: str, present: Collection[_Filter]
    ) -> None:
        parent, first = HOOKS[program]
        theirs = {each.handle: each for each in present if each.program is program}
        handle = first + _BESIDE if first in theirs else first
        if handle in theirs:
            info = theirs[handle].info
        else:
            info = _free_info(handle, [each for each in present if each.parent == parent])
        self._netlink.ipr.tc(
            "replace-filter",
            _BPF,
            index,
            handle,
            parent=parent,
            info=info,
            fd=fd,
            name=name,
            direct_action=True,
        )

    def _made_clsact(self, interface: Interface) -> bool:
        """Make the qdisc; return whether it was not there yet."""
        try:
            self._netlink.ipr.tc("add", _CLSACT, interface.index)
        except NetlinkError as exc:
            if exc.code == errno.EEXIST:
                self._refuse_ingress(interface)
                return False
            if exc.code in (errno.ENOENT, errno.EOPNOTSUPP):
                raise DatapathError(
                    f'this kernel has no clsact qdisc for interface "{interface.name}"',
                    hint="load the module sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS",
                ) from exc
            raise
        return True

    def _refuse_ingress(self, interface: Interface) -> None:
        # Adding to its egress side would succeed, and run on ingress.
        if interface.index not in self._with_clsact():
            raise DatapathError(
                f'interface "{interface.name}" has somebody\'s ingress qdisc in place of clsact',
                hint=f"remove it: tc qdisc del dev {interface.name} ingress",
            )

    def _with_clsact(self) -> tuple[int, ...]:
        qdiscs = self._netlink.listed("qdiscs", self._netlink.ipr.get_qdiscs)
        return tuple(each["index"] for each in qdiscs if each.get_attr("TCA_KIND") == _CLSACT)

    def _filters(self, index: int) -> Iterator[_Filter]:
        for parent in (INGRESS, EGRESS):
            yield from self._listed(index, parent)

    def _listed(self, index: int, parent: int) -> Iterator[_Filter]:
        listing = partial(self._netlink.ipr.get_filters, index=index, parent=parent)
        for message in self._netlink.listed("filters", listing):
            if message["handle"]:  # zero: the head of a priority, not a filter
                yield _filter(message)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except NetlinkError as exc:
        if exc.code != errno.ENODEV:
            raise


def _filter(message: Any) -> _Filter:
    kind = message.get_attr("TCA_KIND")
    options = message.get_attr("TCA_OPTIONS") if kind == _BPF else None
    return _Filter(
        parent=message["parent"],
        handle=message["handle"],
        info=message["info"],
        kind=kind,
        name=options.get_attr("TCA_BPF_NAME") or "" if options else "",
        program_id=_program_id(options) if options else 0,
    )


def _program_id(options: Any) -> int:
    # pyroute2 0.9.7 has no name for it.
    for slot in options["attrs"]:
        attribute = slot.nla
        if attribute["header"]["type"] == _BPF_ID:
            _, _, program_id = _ID.unpack_from(attribute.data, attribute.offset)
            return int(program_id)
    return 0


def _free_info(handle: int, present: Collection[_Filter]) -> int:
    """Return the first priority where *handle* can be added: one has one kind and protocol."""
    for priority in _PRIORITIES:
        info = priority << 16 | socket.htons(_ETH_P_ALL)
        there = [each for each in present if each.priority == priority]
        same = all(each.kind == _BPF and each.info == info for each in there)
        if same and all(each.handle != handle for each in there):
            return info
    raise DatapathError(f"others have the first {_PRIORITIES.stop - 1} priorities of filters")
