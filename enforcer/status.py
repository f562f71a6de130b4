"""The state of the kernel and of a daemon, as `enforcer status` shows it.

Read from the kernel whether or not a daemon runs; what only a daemon knows is
added to it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from enforcer.core.chains import JUDGING_CHAINS
from enforcer.core.interfaces import LEARNING, Interface, Network, Program
from enforcer.core.policy import Mode
from enforcer.core.table import TableState
from enforcer.edge.cgroup import CgroupHook
from enforcer.edge.filters import Filters
from enforcer.edge.links import Links
from enforcer.edge.runtime import RuntimeDir
from enforcer.kernel_checks.suite import Findings

START = "start it: systemctl start enforcer"
RESTART = "see its log; then: systemctl restart enforcer"
REPAIR = "a running daemon puts it back within seconds"
# What it means that one of these programs is missing.
CONSEQUENCES = {
    LEARNING: "its answers are not learned",
    frozenset({Program.FORWARD_MARK}): "first connections of its containers may be refused",
}
# Told of a resolver, and of an interface, that is not where it seems to be.
ANSWERED_INSIDE = "resolver {} is behind {}: what else is there can answer in its name"
ELSEWHERE = "list the resolvers that it asks under `resolvers` in the policy instead"
GUARDED = "{} is guarded in spite of its name: {}"


@dataclass(frozen=True)
class KernelState:
    """What of ours is in the kernel now.

    Attributes:
        network: as it is now, seen from the resolvers that the last instance trusted.
        attached: the programs of ours, by the index of their interface.
        bridged: connect_mark is attached where the last instance put it.
    """

    table: TableState
    network: Network
    attached: dict[int, frozenset[Program]]
    bridged: bool

    @property
    def enforcing(self) -> bool:
        """Whether packets of the machine and of its containers are judged."""
        return self.table.present and not set(JUDGING_CHAINS) & set(self.table.missing)

    def programs(self, interface: Interface) -> frozenset[Program]:
        """Return the programs of ours on *interface*."""
        return self.attached.get(interface.index, frozenset())

    def problems(self, remedy: str) -> list[dict[str, str | None]]:
        """Return what is missing of a whole data plane, and the *remedy*."""
        if not self.table.present:
            return [_problem("the nftables table is gone: nothing is denied", remedy)]
        found = []
        if self.table.missing:
            names = ", ".join(self.table.missing)
            found.append(_problem(f"chains of the nftables table are missing: {names}", remedy))
        if not self.bridged:
            text = "connect_mark is not attached: first connections may be refused"
            found.append(_problem(text, remedy))
        for interface in self.network.interfaces:
            missing = self.network.programs(interface) - self.programs(interface)
            for programs, consequence in CONSEQUENCES.items():
                if lost := sorted(program.value for program in programs & missing):
                    what = f"{', '.join(lost)} not attached to {interface.name}"
                    found.append(_problem(f"{what}: {consequence}", remedy))
        found += [_problem(text, ELSEWHERE) for text in answered_inside(self.network)]
        return found


def read_kernel(
    table: TableState, links: Links, filters: Filters, runtime: RuntimeDir
) -> KernelState:
    """Read what of ours is in the kernel besides the *table*, listed a moment ago.

    Raises:
        DatapathError: it can't be read, by a caller who is not root for one.
    """
    recorded = runtime.recorded()
    bridged = False
    if recorded is not None and (hook := CgroupHook(Path(recorded.cgroup))).exists:
        bridged = bool(set(recorded.program_ids) & set(hook.attached()))
    return KernelState(
        table=table,
        network=links.network(map(ip_address, () if recorded is None else recorded.resolvers)),
        attached={index: frozenset(found) for index, found in filters.attached().items()},
        bridged=bridged,
    )


def answered_inside(network: Network) -> tuple[str, ...]:
    """Return what to tell of resolvers in whose name a container can answer."""
    found = network.answered_inside.items()
    return tuple(ANSWERED_INSIDE.format(resolver, name) for resolver, name in found)


def report(
    kernel: KernelState,
    findings: Findings,
    daemon: dict[str, Any] | None = None,
    *,
    silent: bool = False,
) -> dict[str, Any]:
    """Return the document of `enforcer status --json`.

    Args:
        kernel: as read a moment ago.
        findings: of the kernel checks.
        daemon: what a running daemon adds; None when none answers.
        silent: one is there all the same.
    """
    problems: list[dict[str, str | None]] = []
    if daemon is None and silent:
        problems.append(_problem("the daemon is there and does not answer", RESTART))
    elif daemon is None:
        problems.append(_problem("the daemon is not running", START))
    # Without either there is nothing that could be missing.
    if daemon is not None or kernel.table.present:
        problems += kernel.problems(START if daemon is None else REPAIR)
    if daemon is not None:
        problems += daemon["problems"]
    document: dict[str, Any] = {
        "enforcing": kernel.enforcing and kernel.table.mode is Mode.ENFORCE,
        "healthy": kernel.enforcing and not problems,
        "mode": kernel.table.mode.value if kernel.table.mode else None,
        "daemon": {"running": False, "pid": None, "version": None, "uptime_s": None},
        "policy": dict.fromkeys(("organization", "hosts", "digest", "loaded_at")),
        "kernel": {"release": findings.release, "checks": _checks(findings)},
        "platform": {
            "wsl": findings.platform.wsl,
            "scope": findings.platform.scope,
            "notes": [
                *findings.platform.notes,
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
        "denied": {"total": kernel.table.denied, "recent": []},
    }
    return document | (daemon or {}) | {"problems": problems}


def _checks(findings: Findings) -> list[dict[str, str]]:
    return [
        {"id": result.id, "outcome": result.outcome.value, "detail": result.detail}
        for result in findings.results
    ]


def _problem(text: str, hint: str | None) -> dict[str, str | None]:
    return {"text": text, "hint": hint}
