"""The units beside those that systemd orders them with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_UNITS = Path(__file__).parents[2] / "systemd"
_SYSTEM = "/usr/lib/systemd/system:/lib/systemd/system"
# As Debian's and Docker's own packages have them; `true` is there to be executed.
_SOCKET = "[Socket]\nListenStream=/run/docker.sock\n"
_SERVICE = """\
[Unit]
Wants=network-online.target
Requires=docker.socket
After=network-online.target docker.socket
[Service]
ExecStart=true
"""


def _complaints(folder: Path, before: str) -> str:
    """Return what systemd says of a boot with docker and our service, *before* one more unit."""
    ours = (_UNITS / "enforcer.service").read_text("utf-8")
    ours = ours.replace("\nBefore=", f"\nBefore={before} ").replace("=enforcer run", "=true")
    units = {"docker.socket": _SOCKET, "docker.service": _SERVICE, "enforcer.service": ours}
    for name, text in units.items():
        (folder / name).write_text(text, encoding="utf-8")
        target = "sockets" if name.endswith(".socket") else "multi-user"
        wants = folder / f"{target}.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / name).symlink_to(folder / name)
    verify = ("systemd-analyze", "verify", "multi-user.target")
    path = {"SYSTEMD_UNIT_PATH": f"{folder}:{_SYSTEM}"}
    done = subprocess.run(
        verify, check=False, capture_output=True, text=True, env={**os.environ, **path}
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(("before", "cycle"), [("", False), ("docker.socket", True)])
def test_a_boot_with_docker_has_no_cycle(tmp_path: Path, before: str, *, cycle: bool) -> None:
    """The service came before docker.socket, and after basic.target, which comes after sockets.

    Of such a cycle systemd leaves one out, another at each boot: all sockets, or the service.
    """
    said = _complaints(tmp_path, before)
    assert ("ordering cycle" in said) is cycle, said
