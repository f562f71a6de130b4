"""Facts about the machine that figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from enforcer import __version__

_TOOLS = {
    "nft": ("nft", "--version"),
    "dnsmasq": ("dnsmasq", "--version"),
    "iperf3": ("iperf3", "--version"),
}
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


def facts() -> dict[str, str]:
    """Return kernel, processors, load and the versions of what is compared."""
    return {
        "enforcer": __version__,
        "Linux": platform.release(),
        "Python": platform.python_version(),
        **{name: _version(command) for name, command in _TOOLS.items()},
        "CPUs": f"{os.cpu_count()} x {_processor()}",
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def _version(command: tuple[str, ...]) -> str:
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = _NUMBER.search(shown)
    return found[0] if found else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
