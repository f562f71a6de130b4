"""Lay out a Debian package and have dpkg-deb pack it.

What it needs of Python is copied from the environment that `./dev setup` made, of locked
versions: Debian 12 has older ones of most of it, and nothing here needs a network.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

from deb.closure import copy_closure
from deb.manual import manual
from enforcer import __version__
from enforcer.cli.main import cli

NAME = "enforcer"
# A virtual environment of the system's Python, which sees the system's bcc.
PRIVATE = Path("usr/lib/enforcer")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = PRIVATE / "lib" / PYTHON / "site-packages"
UNITS = Path("usr/lib/systemd/system")
DOC = Path("usr/share/doc") / NAME
COMPLETIONS = {
    "bash": Path("usr/share/bash-completion/completions/enforcer"),
    "zsh": Path("usr/share/zsh/vendor-completions/_enforcer"),
    "fish": Path("usr/share/fish/vendor_completions.d/enforcer.fish"),
}
# What Debian 12 has new enough, and that embeds what security updates are for.
SYSTEM = {"PyYAML": "python3-yaml (>= 6.0)"}
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
SOURCES = ("enforcer", "bpf", "kernel-checks", "pyproject.toml", "README.md", "LICENSE")
_LAUNCHER = """#!/usr/lib/enforcer/bin/python3 -I
import sys

from enforcer.cli.main import main

sys.exit(main())
"""
_PYVENV = f"""home = /usr/bin
include-system-site-packages = true
version = {platform.python_version()}
"""


def build(checkout: Path, into: Path, compression: str = "xz") -> Path:
    """Build the package of *checkout* and return its path in the folder *into*.

    The same sources, at the same commit, make the same package.

    Args:
        checkout: with `.venv` as `./dev setup` made it.
        into: made if it is not there.
        compression: one that dpkg-deb knows; ``none`` is fast.

    Raises:
        subprocess.CalledProcessError: a tool failed; it has said why.
    """
    templates = checkout / "deb" / "debian"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "root")
        _lay_out(checkout, root, Path(temporary))
        control = root / "DEBIAN"
        control.mkdir()
        for name in SCRIPTS:
            shutil.copy(templates / name, control / name)
        _control(checkout, templates / "control", root, control / "control")
        _settle(root, _epoch(checkout))
        (control / "md5sums").write_text(_md5sums(root), encoding="utf-8")
        os.utime(control / "md5sums", times=(_epoch(checkout),) * 2)
        architecture = _said("dpkg", "--print-architecture")
        into.mkdir(exist_ok=True)
        package = into / f"{NAME}_{__version__}_{architecture}.deb"
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_epoch(checkout))}
        pack = ("dpkg-deb", "--root-owner-group", f"-Z{compression}")
        command = (*pack, "--build", root, package)
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return package


def _lay_out(checkout: Path, root: Path, temporary: Path) -> None:
    packages = root / SITE
    packages.mkdir(parents=True)
    copy_closure(NAME, packages, but=SYSTEM)
    _install_ourselves(checkout, packages, temporary)
    binaries = root / PRIVATE / "bin"
    binaries.mkdir()
    (binaries / "python3").symlink_to("../../../bin/python3")
    (binaries / NAME).write_text(_LAUNCHER, encoding="utf-8")
    (root / PRIVATE / "pyvenv.cfg").write_text(_PYVENV, encoding="utf-8")
    (root / "usr/bin").mkdir()
    (root / "usr/bin" / NAME).symlink_to(f"../lib/{NAME}/bin/{NAME}")
    (root / UNITS).mkdir(parents=True)
    for unit in sorted((checkout / "systemd").glob("*.service")):
        shutil.copy(unit, root / UNITS)
    for shell, path in COMPLETIONS.items():
        (root / path.parent).mkdir(parents=True)
        (root / path).write_text(_completion(shell), encoding="utf-8")
    page = root / "usr/share/man/man8/enforcer.8.gz"
    page.parent.mkdir(parents=True)
    page.write_bytes(_packed(manual(cli, __version__)))
    (root / DOC).mkdir(parents=True)
    shutil.copy(checkout / "deb/debian/copyright", root / DOC)
    shutil.copy(checkout / "README.md", root / DOC)
    shutil.copy(checkout / "CHANGELOG.md", root / DOC)
    (root / DOC / "changelog.gz").write_bytes(_packed(_changelog(checkout)))
    overrides = root / "usr/share/lintian/overrides" / NAME
    overrides.parent.mkdir(parents=True)
    shutil.copy(checkout / "deb/debian/lintian-overrides", overrides)


def _install_ourselves(checkout: Path, packages: Path, temporary: Path) -> None:
    """Put the package and its metadata into *packages*, from a wheel made of a clean copy."""
    tree = temporary / "tree"
    tree.mkdir()
    for name in SOURCES:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    python = (sys.executable, "-m")
    _said(*python, "build", "--wheel", "--no-isolation", tree)
    (wheel,) = (tree / "dist").glob("*.whl")
    pip = ("pip", "install", "--no-index", "--no-deps", "--no-compile", "--quiet")
    # What it would put into bin/ is ours to write: the paths would be those of here.
    _said(*python, *pip, "--target", temporary / "installed", wheel)
    for entry in (temporary / "installed").iterdir():
        if entry.name != "bin":
            shutil.move(entry, packages / entry.name)


def _completion(shell: str) -> str:
    """Return what makes *shell* complete the command line: click's own."""
    command = f"import sys; sys.argv = ['{NAME}']; from enforcer.cli.main import main; main()"
    environment = {**os.environ, f"_{NAME.upper()}_COMPLETE": f"{shell}_source"}
    return _said(sys.executable, "-c", command, env=environment) + "\n"


def _control(checkout: Path, template: Path, root: Path, target: Path) -> None:
    minor = sys.version_info.minor
    values = {
        "version": __version__,
        "architecture": _said("dpkg", "--print-architecture"),
        "size": str(sum(path.lstat().st_size for path in root.rglob("*")) // 1024),
        "python": f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})",
        "system": ", ".join(SYSTEM.values()),
        "maintainer": _maintainer(checkout),
    }
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.write_text(text, encoding="utf-8")


def _changelog(checkout: Path) -> str:
    date = format_datetime(datetime.fromtimestamp(_epoch(checkout), timezone.utc))
    entry = "See CHANGELOG.md beside this file."
    maintainer = _maintainer(checkout)
    head = f"{NAME} ({__version__}) unstable; urgency=medium"
    return f"{head}\n\n  * {entry}\n\n -- {maintainer}  {date}\n"


def _maintainer(checkout: Path) -> str:
    return _said("git", "-C", checkout, "log", "-1", "--format=%an <%ae>")


def _settle(root: Path, epoch: int) -> None:
    """Give everything the modes that Debian wants, and one time."""
    programs = {root / PRIVATE / "bin" / NAME, *(root / "DEBIAN" / name for name in SCRIPTS)}
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, times=(epoch, epoch), follow_symlinks=False)


def _md5sums(root: Path) -> str:
    lines = []
    for path in sorted(root.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode) and root / "DEBIAN" not in path.parents:
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            lines.append(f"{digest}  {path.relative_to(root)}\n")
    return "".join(lines)


def _epoch(checkout: Path) -> int:
    """Return the time of the last commit."""
    return int(_said("git", "-C", checkout, "log", "-1", "--format=%ct"))


def _packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def _said(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    return done.stdout.strip()
