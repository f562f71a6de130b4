"""Each kind of denial is told with what there is to know of it: whose it is, and of what."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.test_denials import told
from tests.lab.topology import BRIDGE

pytestmark = pytest.mark.root

ID = "8c2f3a6f7f1b4c0e9d5a2b7c6d8e9f00112233445566778899aabbccddeeff01"
POD = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
POD_SLICE = f"kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice"
DOCKER, PODMAN = {"runtime": "docker", "id": ID, "pod": None}, {"runtime": "podman", "id": ID}
# Cgroups as runtimes and systemd make them, what is told of a process there, and its words.
PLACES: dict[str, tuple[str, dict[str, Any], str]] = {
    "unit": ("system.slice/backup.service", {"unit": "backup.service"}, "of backup.service"),
    "docker": (
        f"system.slice/docker-{ID}.scope",
        {"container": DOCKER, "unit": None},
        f"of docker container {ID[:12]}",
    ),
    "podman": (
        f"machine.slice/libpod-{ID}.scope",
        {"container": PODMAN | {"pod": None}},
        f"of podman container {ID[:12]}",
    ),
    "containerd": (
        f"default/{ID}",
        {"container": {"runtime": "containerd", "id": ID, "pod": None}},
        f"of containerd container {ID[:12]}",
    ),
    "kubernetes": (
        f"{POD_SLICE}/cri-containerd-{ID}.scope",
        {"container": {"runtime": "kubernetes", "id": ID, "pod": POD}},
        f"of kubernetes container {ID[:12]} of pod {POD}",
    ),
}
# Stays until it is known: of what has ended the cgroup is looked up by its number.
CONNECT = (
    "import signal, socket, sys\n"
    "socket.socket().connect_ex((sys.argv[1], 443))\n"
    "print('asked', flush=True)\n"
    "signal.pause()\n"
)
_numbers = itertools.count(1)


@contextlib.contextmanager
def asking(namespace: Namespace, place: Path, address: str) -> Iterator[int]:
    """Run what asks for *address* in the cgroup *place* until the block ends; yield its pid."""
    enter = ("sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(place))
    command = (*enter, sys.executable, "-c", CONNECT, address)
    with namespace.popen(*command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            yield process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def cgroup(root: Path, path: str) -> Iterator[Path]:
    """Make the cgroup *path* below *root*, with those above it, and remove them."""
    made: list[Path] = []
    try:
        for part in path.split("/"):
            made.append((made[-1] if made else root) / part)
            made[-1].mkdir()
        yield made[-1]
    finally:
        for each in reversed(made):
            each.rmdir()


# Without reject each connection of a container takes as long as it waits for an answer.
@pytest.mark.parametrize(
    "where", ["host", pytest.param("container", marks=pytest.mark.needs("reject", "log"))]
)
@pytest.mark.parametrize("kind", PLACES)
def test_a_process_is_told_with_what_it_belongs_to(
    shared_lab: Lab, enforcer: Enforcer, where: str, kind: str
) -> None:
    """By its cgroup, which containers and units have of their own."""
    net = shared_lab.net
    path, known, words = PLACES[kind]
    address = f"198.18.67.{next(_numbers)}"
    with cgroup(net.cgroup, path) as place, asking(getattr(net, where), place, address) as pid:
        (denial,) = told(enforcer, address)
    assert denial | known == denial
    assert (denial["pid"], denial["process"]) == (pid, Path(sys.executable).name)
    assert words in denial["text"]
    assert words in enforcer.log
    behind = ("172.30.0.2", BRIDGE) if where == "container" else (None, None)
    assert (denial["source"], denial["interface"]) == behind


def test_a_process_that_has_ended_is_told_with_its_container(
    shared_lab: Lab, enforcer: Enforcer
) -> None:
    """The cgroup is still there, and the kernel has noted its number.

    A daemon that had given up CAP_DAC_READ_SEARCH could not look it up.
    """
    path, known, words = PLACES["docker"]
    address = f"198.18.67.{next(_numbers)}"
    with cgroup(shared_lab.net.cgroup, path) as place:
        enforcer.process.send_signal(signal.SIGSTOP)
        try:
            with asking(shared_lab.net.host, place, address):
                pass
        finally:
            enforcer.process.send_signal(signal.SIGCONT)
        (denial,) = told(enforcer, address)
    assert denial | known == denial
    assert words in denial["text"]


@pytest.mark.needs("log")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("where", ["host", "container"])
def test_what_has_no_port_is_told_by_its_protocol(
    shared_lab: Lab, enforcer: Enforcer, where: str, version: int
) -> None:
    """An echo request, of which no process is known: it begins no connection."""
    namespace: Namespace = getattr(shared_lab.net, where)
    number = next(_numbers)
    address = f"198.18.67.{number}" if version == 4 else f"2001:db8::67:{number}"
    family, protocol, kind = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP, b"\x08"),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, b"\x80"),
    }[version]

    def ping() -> None:
        # It is denied.
        with (
            socket.socket(family, socket.SOCK_RAW, protocol) as sock,
            contextlib.suppress(PermissionError),
        ):
            sock.sendto(kind + bytes(7), (address, 0))

    namespace.call(ping)
    (denial,) = told(enforcer, address)
    name = {4: "icmp", 6: "ipv6-icmp"}[version]
    assert (denial["protocol"], denial["port"], denial["process"]) == (name, None, None)
    assert denial["interface"] == (BRIDGE if where == "container" else None)
    shown = f"[{address}]" if version == 6 else address
    assert (
        f"access to {address} is not allowed by lab's policy: {name} to {shown}" in denial["text"]
    )
