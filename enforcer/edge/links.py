"""Network interfaces and their tc hooks: the only user of rtnetlink."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from enforcer.core.addresses import Address
from enforcer.errors import DatapathError

LOOPBACK = "lo"
# Parents of the two hooks of clsact (include/uapi/linux/pkt_sched.h, TC_H_MIN_INGRESS, _EGRESS).
INGRESS = 0xFFFFFFF2
EGRESS = 0xFFFFFFF3
HOOKS = {INGRESS: "dns_answer", EGRESS: "dns_query"}
PROGRAMS = frozenset(HOOKS.values())
# Low numbers run first: an earlier filter that ends the chain would hide answers from us.
PRIORITY = 5
HANDLE = 0xE4F0
NAME_PREFIX = "enforcer/"
ETH_P_ALL = 0x0003


class Links:
    """Attach the DNS programs to interfaces of the network namespace it was made in.

    Not for use on a thread that runs an event loop: pyroute2 0.9.7 drives one itself.

    Raises:
        DatapathError: netlink refuses; every method may.
    """

    def __init__(self) -> None:
        with _translated("open rtnetlink"):
            self._ipr: Any = IPRoute()

    def close(self) -> None:
        """Close the netlink socket; what is attached stays."""
        self._ipr.close()

    def addresses(self) -> frozenset[Address]:
        """Return the addresses of this machine."""
        with _translated("list addresses"):
            return frozenset(
                ipaddress.ip_address(
                    message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                )
                for message in self._ipr.get_addr()
            )

    def names(self) -> tuple[str, ...]:
        """Return the names of all interfaces."""
        with _translated("list interfaces"):
            return tuple(str(m.get_attr("IFLA_IFNAME")) for m in self._ipr.get_links())

    def uplinks(self) -> frozenset[str]:
        """Return the interfaces of the default routes of both families."""
        with _translated("list routes"):
            return frozenset(
                self._name(hop["oif"])
                for family in (socket.AF_INET, socket.AF_INET6)
                for route in self._ipr.get_default_routes(family=family)
                for hop in route.get_attr("RTA_MULTIPATH") or ({"oif": route.get_attr("RTA_OIF")},)
                if hop["oif"]  # none: an unreachable route
            )

    def facing(self, resolvers: Iterable[Address]) -> tuple[str, ...]:
        """Return the interfaces that queries to *resolvers* leave by, and the loopback.

        A resolver without a route has no interface yet and is left out.
        """
        names = {LOOPBACK}
        for resolver in resolvers:
            with contextlib.suppress(NetlinkError):
                for route in self._ipr.route("get", dst=str(resolver)):
                    names.add(self._name(route.get_attr("RTA_OIF")))
        return tuple(sorted(names))

    def attach(self, interface: str, *, dns_query: int, dns_answer: int) -> None:
        """Put the two programs on *interface*, replacing those of an earlier run.

        Args:
            interface: its name.
            dns_query: descriptor of the program for the egress hook.
            dns_answer: descriptor of the program for the ingress hook.
        """
        programs = {INGRESS: dns_answer, EGRESS: dns_query}
        with _translated(f'attach to interface "{interface}"'):
            index = self._index(interface)
            self._ensure_clsact(interface, index)
            for parent, fd in programs.items():
                self._ipr.tc(
                    "replace-filter",
                    "bpf",
                    index,
                    parent=parent,
                    prio=PRIORITY,
                    handle=HANDLE,
                    protocol=ETH_P_ALL,
                    fd=fd,
                    name=NAME_PREFIX + HOOKS[parent],
                    direct_action=True,
                )

    def attached(self) -> dict[str, frozenset[str]]:
        """Return the programs of ours on each interface that has any."""
        with _translated("list filters"):
            found = {
                name: frozenset(
                    HOOKS[parent]
                    for parent in HOOKS
                    if any(_is_ours(f, parent) for f in self._filters(index, parent))
                )
                for index, name in self._with_clsact()
            }
        return {name: programs for name, programs in found.items() if programs}

    def detach(self, interfaces: Iterable[str] | None = None) -> None:
        """Take our filters off *interfaces* (None: all of them), and an emptied clsact with them.

        Filters of others stay, and so does the qdisc they need.
        """
        wanted = None if interfaces is None else frozenset(interfaces)
        with _translated("detach filters"):
            for index, name in self._with_clsact():
                if wanted is None or name in wanted:
                    self._detach_from(index)

    def _detach_from(self, index: int) -> None:
        ours = False
        others = False
        for parent in HOOKS:
            for message in self._filters(index, parent):
                if _is_ours(message, parent):
                    ours = True
                    self._ipr.tc(
                        "del-filter",
                        "bpf",
                        index,
                        parent=parent,
                        prio=PRIORITY,
                        handle=HANDLE,
                        protocol=ETH_P_ALL,
                    )
                elif message["handle"]:  # zero: the head of a priority, not a filter
                    others = True
        if ours and not others:
            self._ipr.tc("del", "clsact", index)

    def _ensure_clsact(self, interface: str, index: int) -> None:
        kinds = self._kinds(index)
        if "clsact" in kinds:
            return
        if "ingress" in kinds:
            # Adding to its egress side would succeed, and run on ingress.
            raise DatapathError(
                f'interface "{interface}" has somebody\'s ingress qdisc in place of clsact',
                hint=f"remove it: tc qdisc del dev {interface} ingress",
            )
        try:
            self._ipr.tc("add", "clsact", index)
        except NetlinkError as exc:
            if exc.code not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
            raise DatapathError(
                f'this kernel has no clsact qdisc for interface "{interface}"',
                hint="load the module sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS",
            ) from exc

    def _with_clsact(self) -> Iterator[tuple[int, str]]:
        for message in self._ipr.get_qdiscs():
            if message.get_attr("TCA_KIND") == "clsact":
                yield message["index"], self._name(message["index"])

    def _kinds(self, index: int) -> frozenset[str]:
        return frozenset(m.get_attr("TCA_KIND") for m in self._ipr.get_qdiscs(index=index))

    def _filters(self, index: int, parent: int) -> tuple[Any, ...]:
        return tuple(self._ipr.get_filters(index=index, parent=parent))

    def _index(self, interface: str) -> int:
        found = self._ipr.link_lookup(ifname=interface)
        if not found:
            raise DatapathError(f'there is no interface "{interface}"')
        return int(found[0])

    def _name(self, index: int) -> str:
        return str(self._ipr.link("get", index=index)[0].get_attr("IFLA_IFNAME"))


def _is_ours(message: Any, parent: int) -> bool:
    options = message.get_attr("TCA_OPTIONS")
    name = options.get_attr("TCA_BPF_NAME") if options else None
    return bool(name == NAME_PREFIX + HOOKS[parent])


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as exc:
        hint = "run as root" if exc.code in (errno.EPERM, errno.EACCES) else None
        raise DatapathError(f"can't {doing}: {exc.args[1]}", hint=hint) from exc
    except OSError as exc:
        raise DatapathError(f"can't {doing}: {exc}") from exc
