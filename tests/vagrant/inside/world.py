"""Runs inside a machine: a resolver and two registries in a network namespace beside it.

The machine's own network is what is enforced on, so it is wired to the namespace as the lab's
host is to the lab's world. It ends by a signal.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.lab import cgroup
from tests.lab.lab import Lab
from tests.lab.nameserver import Nameserver
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED, DENIED, serving_registries
from tests.lab.sink import Sink
from tests.lab.topology import IN_WORLD, IPV6_SETTINGS, RESOLVERS, WORLD_NETWORKS, Topology

UPLINK = "world0"
_PORTS = (443,)
# Docker and skopeo both look there.
_CERTIFICATES = Path("/etc/docker/certs.d")
_MACHINE = (
    f"address add 10.77.0.2/24 dev {UPLINK}",
    f"address add fd77::2/64 dev {UPLINK} nodad",
    f"link set {UPLINK} up",
    f"route add {WORLD_NETWORKS[0]} via {RESOLVERS[0]}",
    f"route add {WORLD_NETWORKS[1]} via {RESOLVERS[1]}",
)


def main() -> None:
    """Make the world, say so to systemd, and keep it until told to end."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="world-")))
        group = cgroup.mount_point() / directory.name
        group.mkdir()
        stack.callback(cgroup.remove, group)
        (directory / "world").mkdir()
        world = stack.enter_context(Namespace(directory / "world", group).held())
        _wire(world)
        lab = Lab(
            Topology(directory.name, directory, group, world, world, world),
            Nameserver(),
            Sink(world, _PORTS),
        )
        for registry in (ALLOWED, DENIED):
            lab.nameserver.add(registry.name, *registry.addresses)
        stack.enter_context(lab.nameserver.serving(world, *RESOLVERS))
        stack.enter_context(lab.sink.serving())
        registries = stack.enter_context(serving_registries(lab))
        for registry in (ALLOWED, DENIED):
            folder = _CERTIFICATES / registry.name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(registries.ca, folder / "ca.crt")
        _notify("READY=1")
        signal.sigwait(signals)


def _wire(world: Namespace) -> None:
    world.sysctl(*IPV6_SETTINGS)
    add = ("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "eth0")
    subprocess.run((*add, "netns", str(world.pid)), check=True)
    world.resolv_conf.write_text("".join(f"nameserver {address}\n" for address in RESOLVERS))
    world.ip(*IN_WORLD)
    subprocess.run(("ip", "-batch", "-"), check=True, text=True, input="\n".join(_MACHINE))


def _notify(text: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(path)
            sock.send(text.encode())


if __name__ == "__main__":
    main()
