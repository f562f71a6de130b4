"""What of WSL 2's configuration matters to a policy, in plain words.

The words of the networking mode, the resolver of DNS tunnelling, the loopback device of mirrored
mode and the cgroups of distributions are those of WSL's own sources
(https://github.com/microsoft/WSL: src/linux/init/wslinfo.cpp, src/shared/inc/lxinitshared.h,
src/linux/init/NetworkManager.cpp, src/linux/init/util.h).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT_S = 2.0
_TUNNEL = "10.255.255.254"
_MIRRORED_DEVICE = "loopback0"
_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_SERIES = re.compile(r"([0-9]+\.[0-9]+)\.")
_PROXY = re.compile(r"(?:https?|all)_proxy=(\S+)", re.IGNORECASE)
# Sessions that Windows began carry what it knows of proxies; they are all alike.
_MAX_PROCESSES = 4096

_MODES = {
    "nat": "networking mode nat: what leaves goes by eth0 and is translated by Windows",
    "bridged": "networking mode bridged: what leaves goes by eth0, past Windows",
    "mirrored": (
        "networking mode mirrored: connections to 127.0.0.1 and to this machine's own addresses"
        " leave by loopback0 or eth0 for Windows, which may send them back, and are judged: to"
        " permit them list 127.0.0.1/32 under networks, which opens services of Windows on"
        " localhost too, a proxy among them"
    ),
    "virtioproxy": "networking mode virtioproxy: what leaves goes by eth0 to a proxy of Windows",
    "consomme": "networking mode virtioproxy: what leaves goes by eth0 to a proxy of Windows",
    "none": "networking mode none: there is no network",
}


def notes(release: str, root: Path = Path("/")) -> tuple[str, ...]:
    """Return what an operator should know, a line each.

    Args:
        release: of the kernel.
        root: of the files that tell.
    """
    found = (
        _kernel(release),
        _MODES.get(mode(root), ""),
        _tunnelling(root),
        _proxy(root),
        _systemd(root),
        *_beside(root),
    )
    return tuple(line for line in found if line)


def mode(root: Path = Path("/")) -> str:
    """Return the networking mode; where nothing says it, as the interfaces look."""
    wslinfo = root / "usr/bin/wslinfo"
    if wslinfo.exists():
        try:
            done = subprocess.run(
                [wslinfo, "--networking-mode"],
                capture_output=True,
                check=False,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            pass
        else:
            if done.returncode == 0 and done.stdout.strip() in _MODES:
                return done.stdout.strip()
    interfaces = {path.name for path in (root / "sys/class/net").glob("*")}
    if _MIRRORED_DEVICE in interfaces:
        return "mirrored"
    return "nat" if "eth0" in interfaces else "none"


def _kernel(release: str) -> str:
    if "microsoft" not in release:
        return f"a kernel of one's own, {release}"
    series = _SERIES.match(release)
    return f"Microsoft's kernel of the series {series[1]}" if series else ""


def _tunnelling(root: Path) -> str:
    resolvers = _NAMESERVER.findall(_text(root / "etc/resolv.conf"))
    if _TUNNEL in resolvers:
        return f"DNS tunnelling is on: the resolver answers as {_TUNNEL} on lo, which is watched"
    if resolvers:
        return f"DNS tunnelling is off: the resolver is {resolvers[0]}"
    return ""


def _proxy(root: Path) -> str:
    for folder in sorted((root / "proc").glob("[0-9]*"))[:_MAX_PROCESSES]:
        words = _text(folder / "environ").split("\0")
        if not any(word.startswith("WSL_INTEROP=") for word in words):
            continue
        for word in words:
            if found := _PROXY.fullmatch(word):
                return (
                    f"autoProxy gives sessions the proxy {_without_password(found[1])}: pulls go"
                    " there instead of to registries, and are refused unless the policy permits"
                    " it; it could then reach anything (autoProxy=false in .wslconfig)"
                )
    return ""


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _systemd(root: Path) -> str:
    if (root / "run/systemd/system").is_dir():
        return ""
    return "systemd is off: a service needs systemd=true under [boot] in /etc/wsl.conf"


def _beside(root: Path) -> Iterator[str]:
    if (root / "mnt/wsl/docker-desktop").is_dir():
        yield "Docker Desktop's distributions are beside this one, and restricted with it"
    groups = tuple((root / "sys/fs/cgroup/wsl-user").glob("distro-*"))
    if groups:
        yield (
            f"{len(groups)} distributions have cgroups of their own (/wsl-user/distro-*); the"
            " policy restricts all of them alike"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
