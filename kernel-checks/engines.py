"""Container engines on the machine, and by what way their containers' traffic leaves.

A rootless container has a network that only its user's helper leads out of: slirp4netns, pasta
and vpnkit read its packets and open sockets of their own
(https://github.com/rootless-containers/rootlesskit/blob/master/docs/network.md), so what leaves
is the user's, and judged like all that users begin. dockerd writes no rules of its own with
"iptables": false (https://docs.docker.com/engine/network/packet-filtering-firewalls): the table
of enforcer is another one, and judges what is forwarded all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .result import Outcome, Result

ID = "engines"

_ENGINES = ("dockerd", "containerd", "podman", "crio", "buildkitd")
_HELPERS = ("slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2", "vpnkit")


def check(root: Path = Path("/")) -> Result:
    """Say which engines run, and that what their containers send is judged.

    Args:
        root: of /proc and /etc.
    """
    running: dict[str, tuple[str, ...]] = dict(_processes(root))
    lines = [
        f"{name}{_without_rules(root, name, running[name])}" for name in _ENGINES if name in running
    ]
    helpers = sorted({name.partition(".")[0] for name in _HELPERS if name in running})
    if helpers:
        lines.append(
            f"rootless containers leave as their user's process ({', '.join(helpers)}),"
            " judged like all of his"
        )
    return Result(ID, Outcome.SUPPORTED, "; ".join(lines) if lines else "none runs")


def _without_rules(root: Path, engine: str, command: tuple[str, ...]) -> str:
    if engine != "dockerd":
        return ""
    try:
        configured = json.loads((root / "etc/docker/daemon.json").read_text())
    except (OSError, ValueError):
        configured = {}
    off = isinstance(configured, dict) and configured.get("iptables") is False
    if not off and "--iptables=false" not in command:
        return ""
    return ", which writes no rules of its own: its containers are judged all the same"


def _processes(root: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the command line of each process."""
    for folder in (root / "proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text(errors="replace").strip()
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        yield name, tuple(words)
