"""What of a firewall is in the kernel: tables, qdiscs, filters, programs, pinned objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from enforcer.edge.cgroup import HOOKS, CgroupHook

if TYPE_CHECKING:
    from tests.lab.topology import Topology


def footprint(net: Topology) -> frozenset[str]:
    """Return one line for each thing in the kernel on the lab's host and its cgroup."""
    host = net.host
    found = set(host.run("nft", "list", "tables").stdout.splitlines())
    for link in json.loads(host.run("ip", "-j", "link").stdout):
        device = link["ifname"]
        for qdisc in json.loads(host.run("tc", "-j", "qdisc", "show", "dev", device).stdout):
            if qdisc["kind"] in {"clsact", "ingress"}:
                found.add(f"{device} {qdisc['kind']}")
        for direction in ("ingress", "egress"):
            shown = host.run("tc", "filter", "show", "dev", device, direction, check=False).stdout
            found |= {
                f"{device} {direction} {line}" for line in shown.splitlines() if "bpf" in line
            }
    for program in HOOKS:
        attached = CgroupHook(net.cgroup, program).attached()
        found |= {f"{net.cgroup.name} {program} {n}" for n in attached}
    found |= set(host.run("find", "/sys/fs/bpf", "-mindepth", "1", check=False).stdout.splitlines())
    return frozenset(found)
