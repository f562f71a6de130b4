"""The state of the kernel and of a daemon, as `enforcer status` shows it.

Read from the kernel whether or not a daemon runs; what only a daemon knows is
added to it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from enforcer.core.addresses import Address
from enforcer.core.chains import JUDGING_CHAINS
from enforcer.core.interfaces import LEARNING, Interface, Network, Program, Role
from enforcer.core.judgement import in_words
from enforcer.core.policy import Mode
from enforcer.core.problem import Problem
from enforcer.core.table import TableState
from enforcer.edge.cgroup import CgroupHook
from enforcer.edge.filters import Filters
from enforcer.edge.firewall import Firewall
from enforcer.edge.links import Links
from enforcer.edge.runtime import Attachments
from enforcer.kernel_checks.suite import Findings

START = "start it: systemctl start enforcer"
# By the ActiveState of the service.
ABSENT = {
    "activating": Problem("the daemon is being started", "systemctl status enforcer shows how far"),
    "failed": Problem(
        "the daemon is not running, as it failed",
        "systemctl status enforcer says why; until then enforcer off opens this machine",
    ),
}
RESTART = "see its log; then: systemctl restart enforcer"
REPAIR = "a running daemon puts it back within seconds"
UPLINK = "connect this machine: ip link; ip route; what comes is followed by itself"
# What it means that one of these programs is missing.
CONSEQUENCES = {
    LEARNING: "its answers are not learned",
    frozenset({Program.FORWARD_MARK}): "first connections of its containers may be refused",
}
# Told of a resolver, and of an interface, that is not where it seems to be.
ANSWERED_INSIDE = "resolver {} is behind {}: what else is there can answer in its name"
ELSEWHERE = "list the resolvers that it asks under `resolvers` in the policy instead"
ANYBODY = "any user can answer in the name of resolver {}, which is on this machine"
PRIVILEGED = "sysctl net.ipv4.ip_unprivileged_port_start=1024"
ASTRAY = "resolver {} is reached by {}, where containers can advertise a route: it is not believed"
UNADVERTISED = "sysctl net.ipv6.conf.{1}.accept_ra=0; delete what `ip route get {0}` shows"
MISLEADING = "a default route leads by {}, where containers can advertise one: it is not believed"
NO_ROUTER = (
    "sysctl net.ipv6.conf.{0}.accept_ra=0; ip -6 route del default dev {0};"
    " if it leads out, add that route yourself"
)
PASSING = "what containers on {} send leaves by {} without being judged"
JUDGE_BRIDGES = "modprobe br_netfilter; sysctl net.bridge.bridge-nf-call-ip{,6}tables=1"
GUARDED = "{} is guarded in spite of its name: {}"


@dataclass(frozen=True)
class KernelState:
    """What of ours is in the kernel now.

    Attributes:
        resolvers: that the last instance trusted.
        network: as it is now, seen from these.
        attached: the programs of ours, by the index of their interface.
        bridged: connect_mark is attached where the last instance put it.
        edited: the parts of the table that somebody changed since that instance applied it.
    """

    table: TableState
    resolvers: tuple[Address, ...]
    network: Network
    attached: dict[int, frozenset[Program]]
    bridged: bool
    edited: tuple[str, ...] = ()

    @property
    def enforcing(self) -> bool:
        """Whether packets of the machine and of its containers are judged."""
        gone = set(JUDGING_CHAINS) & set(self.table.missing)
        return self.table.present and not gone and not self.table.passing

    def programs(self, interface: Interface) -> frozenset[Program]:
        """Return the programs of ours on *interface*."""
        return self.attached.get(interface.index, frozenset())

    def problems(self, remedy: str) -> list[Problem]:
        """Return what is missing of a whole data plane, and the *remedy*."""
        if not self.table.present:
            return [Problem("the nftables table is gone: nothing is denied", remedy)]
        found = []
        if self.table.missing:
            names = ", ".join(self.table.missing)
            found.append(Problem(f"chains of the nftables table are missing: {names}", remedy))
        if self.table.passing:
            names = ", ".join(self.table.passing)
            text = f"what nothing permits passes these chains of the nftables table: {names}"
            found.append(Problem(text, remedy))
        if self.edited and not self.table.missing:
            found.append(Problem(in_words(self.edited), remedy))
        if not self.bridged:
            text = "connect_mark is not attached: first connections may be refused"
            found.append(Problem(text, remedy))
        for interface in self.network.interfaces:
            missing = self.network.programs(interface) - self.programs(interface)
            for programs, consequence in CONSEQUENCES.items():
                if lost := sorted(program.value for program in programs & missing):
                    what = f"{', '.join(lost)} not attached to {interface.name}"
                    found.append(Problem(f"{what}: {consequence}", remedy))
        found += [Problem(text, ELSEWHERE) for text in answered_inside(self.network)]
        found += [
            Problem(ANYBODY.format(each), PRIVILEGED) for each in self.network.answered_by_anybody
        ]
        found += [
            Problem(ASTRAY.format(resolver, name), UNADVERTISED.format(resolver, name))
            for resolver, name in self.network.led_astray.items()
        ]
        found += [
            Problem(MISLEADING.format(name), NO_ROUTER.format(name))
            for name in self.network.misleading
        ]
        found += [
            Problem(PASSING.format(*each), JUDGE_BRIDGES) for each in self.network.passing.items()
        ]
        return found + list(self._unreachable())

    def _unreachable(self) -> Iterator[Problem]:
        faced = self.network.facing
        guarded = {i.index for i in self.network.interfaces if self.network.role(i) is Role.GUARDED}
        remote = {each for each in self.resolvers if not each.is_loopback}
        leading = self.network.routed | set(faced.values())
        if not self.network.defaults and not guarded & leading:
            yield Problem("there is no uplink: no route leads out", UPLINK)
        elif remote and not faced.keys() & remote:
            names = ", ".join(map(str, sorted(remote, key=int)))
            yield Problem(f"no route leads to the resolvers ({names}): no name resolves", UPLINK)


def read_kernel(
    table: TableState,
    firewall: Firewall,
    links: Links,
    filters: Filters,
    recorded: Attachments | None,
) -> KernelState:
    """Read what of ours is in the kernel besides the *table*, listed a moment ago.

    Args:
        table: as listed.
        firewall: reads it.
        links: of this network namespace.
        filters: likewise.
        recorded: by the daemon that is here, or was.

    Raises:
        DatapathError: it can't be read, by a caller who is not root for one.
    """
    bridged = False
    if recorded is not None and (hook := CgroupHook(Path(recorded.cgroup))).exists:
        bridged = bool(set(recorded.program_ids) & set(hook.ids()))
    resolvers = () if recorded is None else tuple(map(ip_address, recorded.resolvers))
    return KernelState(
        table=table,
        resolvers=resolvers,
        network=links.network(resolvers),
        attached={
            index: frozenset(program for program, _ in found)
            for index, found in filters.attached().items()
        },
        bridged=bridged,
        edited=firewall.edited(None if recorded is None else recorded.table),
    )


def answered_inside(network: Network) -> tuple[str, ...]:
    """Return what to tell of resolvers in whose name a container can answer."""
    found = network.answered_inside.items()
    return tuple(ANSWERED_INSIDE.format(resolver, name) for resolver, name in found)


def report(
    kernel: KernelState,
    findings: Findings,
    daemon: dict[str, Any] | None = None,
    problems: Iterable[Problem] = (),
    *,
    silent: bool = False,
    unit: str = "",
) -> dict[str, Any]:
    """Return the document of `enforcer status --json`.

    Args:
        kernel: as read a moment ago.
        findings: of the kernel checks.
        daemon: what a running daemon adds; None when none answers.
        problems: what it knows of besides.
        silent: one is there all the same.
        unit: the service's ActiveState, if it has one.
    """
    found: list[Problem] = []
    if daemon is None and silent:
        found.append(Problem("the daemon is there and does not answer", RESTART))
    elif daemon is None:
        found.append(ABSENT.get(unit, Problem("the daemon is not running", START)))
    # Without either there is nothing that could be missing.
    if daemon is not None or kernel.table.present:
        found += kernel.problems(START if daemon is None else REPAIR)
    found += problems
    document: dict[str, Any] = {
        "enforcing": kernel.enforcing and kernel.table.mode is Mode.ENFORCE,
        "healthy": kernel.enforcing and not found,
        "mode": kernel.table.mode.value if kernel.table.mode else None,
        "daemon": {"running": False, "pid": None, "version": None, "uptime_s": None},
        "policy": dict.fromkeys(("organization", "hosts", "digest", "loaded_at", "changed")),
        "kernel": {
            "release": findings.release,
            "tier": findings.tier.name,
            "checks": _checks(findings),
        },
        "platform": {
            "wsl": findings.platform.wsl,
            "scope": findings.platform.scope,
            "notes": [
                *findings.platform.notes,
                *findings.tier.worse,
                *(GUARDED.format(*each) for each in kernel.network.named_like_exempt.items()),
            ],
        },
        "resolvers": [],
        "interfaces": [
            {
                "name": interface.name,
                "role": kernel.network.role(interface).value,
                "learning": kernel.programs(interface) >= LEARNING,
                "programs": sorted(program.value for program in kernel.programs(interface)),
            }
            for interface in kernel.network.interfaces
        ],
        "addresses": len(kernel.table.elements),
        "denied": {
            "total": kernel.table.denied,
            "lost": None,
            "hosts": [],
            "recent": [],
            "without_processes": None,
        },
        "proof": {"at": None, "age_s": None, "families": []},
        "repaired": [],
        "problems": [asdict(each) for each in found],
    }
    return document | (daemon or {})


def _checks(findings: Findings) -> list[dict[str, str]]:
    return [
        {"id": result.id, "outcome": result.outcome.value, "detail": result.detail}
        for result in findings.results
    ]
