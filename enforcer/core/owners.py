"""What a process belongs to, read from the path of its cgroup: a container, or a unit.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# 64 hexadecimal digits name a container wherever they come from (OCI runtimes; podman and
# containerd likewise). How the last part of the path begins tells the runtime under systemd's
# cgroup driver, the part before it under cgroupfs.
_ID = "(?P<id>[0-9a-f]{64})"
_PATTERNS = (
    # Kubernetes (kubelet's cgroup drivers): kubepods[-burstable]-pod<uid>.slice/cri-...scope.
    (
        "kubernetes",
        rf"kubepods.*[/-]pod(?P<pod>[0-9a-f_-]{{32,36}})(?:\.slice)?/(?:[\w-]+-)?{_ID}",
    ),
    # moby's daemon/oci_linux.go: docker-<id>.scope; docker/<id> with cgroupfs.
    ("docker", rf"/docker[/-]{_ID}(?:\.scope)?(?:/|$)"),
    # podman's libpod-<id>.scope; libpod_parent/libpod-<id> with cgroupfs; its conmon is not in it.
    ("podman", rf"/libpod-{_ID}(?:\.scope)?(?:/|$)"),
    ("cri-o", rf"/crio-{_ID}(?:\.scope)?(?:/|$)"),
    ("containerd", rf"/cri-containerd-{_ID}(?:\.scope)?(?:/|$)"),
    # nerdctl: <namespace>/<id>, and nerdctl-<id>.scope under systemd.
    ("containerd", rf"/(?:nerdctl-|default/){_ID}(?:\.scope)?(?:/|$)"),
    ("lxc", r"/lxc(?:\.payload)?[./](?P<id>[^/]+?)(?:/|$)"),
    ("systemd-nspawn", r"/machine\.slice/systemd-nspawn@(?P<id>[^/]+)\.service(?:/|$)"),
    ("container", rf"/{_ID}(?:/|$)"),
)
_CONTAINERS = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)
# The innermost: a user's manager has units of its own below user@1000.service.
_UNIT = re.compile(r"/(?P<id>[^/]+\.(?:service|scope))(?=/|$)")
UNIT = "unit"


@dataclass(frozen=True, slots=True)
class Owner:
    """A container or a systemd unit.

    Attributes:
        kind: the container's runtime, or UNIT.
        id: as the runtime has it; the unit's name.
        pod: uid of the Kubernetes pod; empty otherwise.
    """

    kind: str
    id: str
    pod: str = ""


def parse_owner(cgroups: str) -> Owner | None:
    """Return what a process belongs to; None where its cgroups do not say.

    Args:
        cgroups: its /proc/PID/cgroup, a line for each hierarchy.
    """
    paths = [line.split(":", 2)[2] for line in cgroups.splitlines() if line.count(":") > 1]
    # So it ends where the process has ended, and its cgroup was removed before it was reaped.
    paths = [path.removesuffix(" (deleted)") for path in paths]
    for path in paths:
        if found := _container(_unescaped(path)):
            return found
    for path in paths:
        units = [match["id"] for match in _UNIT.finditer(path)]
        if units:
            return Owner(UNIT, _unescaped(units[-1]))
    return None


def _container(path: str) -> Owner | None:
    for kind, pattern in _CONTAINERS:
        if match := pattern.search(path):
            pod = match.groupdict().get("pod") or ""
            # systemd has no dash in a slice's name but between levels.
            return Owner(kind, match["id"], pod.replace("_", "-"))
    return None


def _unescaped(path: str) -> str:
    """Undo systemd's escapes of unit names (systemd.unit(5)), as far as they print."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), path)
