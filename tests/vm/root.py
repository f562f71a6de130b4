"""The root file system of the guests: this machine's distribution, with what the suite needs.

The distribution is this machine's, so that its Python is the one that .venv was made for.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

from tests.vm import disk
from tests.vm.archive import repositories

# What the README has installed, and what the lab uses.
PACKAGES = (
    "python3",
    "python3-bpfcc",
    "nftables",
    "iproute2",
    "kmod",
    "procps",
    "conntrack",
    "docker-registry",
    "skopeo",
    "busybox-static",
)
_SPARE_MIB = 1024


def make(cache: Path, packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return the disk; made if the cache has none with these versions of the packages."""
    versions = json.dumps(_candidates(packages))
    key = hashlib.sha256(versions.encode()).hexdigest()[:16]
    made = cache / "roots" / f"{key}.ext4"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as temporary:
            root = Path(temporary, "root")
            bootstrap(root, packages)
            disk.from_folder(root, made, spare_mib=_SPARE_MIB)
    return made


def bootstrap(root: Path, packages: tuple[str, ...], *more: str) -> None:
    """Make *root* the smallest system of this machine's distribution with *packages*.

    Args:
        root: folder to make.
        packages: what is installed, and what that depends on.
        more: options of mmdebstrap.
    """
    sources = repositories()
    subprocess.run(
        (
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            *more,
            sources[0].codename,
            root,
            *(each.source for each in sources),
        ),
        check=True,
    )
    # What is installed there later has its manual pages.
    (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink()


def known(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the packages that this distribution has."""
    return tuple(_candidates(packages))


def _candidates(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the version that would be installed of each package that there is."""
    policy = subprocess.run(
        ("apt-cache", "policy", *packages), check=True, capture_output=True, text=True
    ).stdout
    found = re.findall(r"^(\S+):\n.*\n +Candidate: (\S*\d\S*)$", policy, re.MULTILINE)
    return dict(found)
