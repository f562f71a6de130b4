"""Debian's archive: which kernels it has, and fetching one.

Done by an apt whose lists and caches are in a folder of one's own: the machine's apt learns
nothing of other suites. Where the archive is, the machine's apt knows.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

META = "linux-image-cloud-amd64"
# The oldest that Debian's mirrors still have, to the newest.
SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")
_ROLLING = ("forky", "sid")  # these get their security updates directly
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TARGETS = "$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
# From 6.19 on the image, its modules and what is built in are packages of their own.
_PARTS = re.compile(r"linux-(image|binary|modules|base)-\d")


class NoArchive(Exception):
    """There is no such kernel to be had from the archive that apt knows."""


@dataclass(frozen=True)
class Repository:
    """One suite's component that the machine's apt reads."""

    origin: str
    label: str
    uri: str
    codename: str
    component: str

    @property
    def source(self) -> str:
        """The line of sources.list that names it."""
        return f"deb {self.uri} {self.codename} {self.component}"


def repositories() -> tuple[Repository, ...]:
    """Return the distribution's own repositories of the machine's apt, the main one first."""
    listed = subprocess.run(
        ("apt-get", "indextargets", "--format", _TARGETS),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    codename = _os_release()["VERSION_CODENAME"]
    found = []
    for line in dict.fromkeys(listed.splitlines()):
        kind, *fields = line.split("|")
        repository = Repository(*fields)
        if kind == "Packages" and repository.codename.partition("-")[0] == codename:
            found.append(repository)
    return tuple(sorted(found, key=lambda each: (each.codename != codename, each.codename)))


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


class Archive:
    """Debian's archive, all its suites that have kernels.

    Args:
        folder: where apt's lists and the packages fetched are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def refresh(self) -> str:
        """Read the suites' lists; return what apt complained of.

        A suite that has left the mirror is missed only by who asks for its kernel.

        Raises:
            NoArchive: the machine's apt knows no archive of Debian.
        """
        for name in ("etc/apt/preferences.d", "lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "etc/apt/sources.list").write_text(self._sources(), encoding="utf-8")
        return self._apt("apt-get", "--quiet=2", "update", check=False)

    def versions(self) -> tuple[str, ...]:
        """Return the versions of the metapackage, the newest first."""
        table = self._apt("apt-cache", "madison", META)
        found = [line.split("|")[1].strip() for line in table.splitlines() if "|" in line]
        return tuple(dict.fromkeys(found))

    def newest(self, series: str) -> str:
        """Return the newest version of *series*, such as 6.1, or of all: ``newest``.

        Raises:
            NoArchive: there is none.
        """
        known = self.versions()
        for version in known:
            if series in ("newest", _series(version)):
                return version
        has = ", ".join(dict.fromkeys(map(_series, known))) or "none"
        raise NoArchive(f'Debian has no kernel of series "{series}" (hint: it has {has})')

    def fetch(self, version: str, folder: Path) -> tuple[Path, ...]:
        """Download the packages of the metapackage's *version* into *folder*; return them."""
        names = self._parts(META, version)
        self._apt("apt-get", "--quiet=2", "download", *names, cwd=folder)
        return tuple(sorted(folder.glob("*.deb")))

    def _parts(self, package: str, version: str) -> tuple[str, ...]:
        """Return the packages with a kernel's files that *package* depends on, as name=version."""
        shown = self._apt("apt-cache", "show", "--no-all-versions", f"{package}={version}")
        depends = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
        found: list[str] = []
        for name, at in re.findall(r"(\S+) \(= (\S+)\)", depends[1] if depends else ""):
            if _PARTS.match(name):
                found += [f"{name}={at}", *self._parts(name, at)]
        return tuple(dict.fromkeys(found))

    def _sources(self) -> str:
        lines = []
        for suite in SUITES:
            lines.append(f"deb [signed-by={_KEYRING}] {self._mirror['Debian']} {suite} main\n")
            if suite not in _ROLLING:
                security = self._mirror["Debian-Security"]
                lines.append(f"deb [signed-by={_KEYRING}] {security} {suite}-security main\n")
        return "".join(lines)

    @cached_property
    def _mirror(self) -> dict[str, str]:
        mirror = {each.label: each.uri for each in repositories() if each.origin == "Debian"}
        if not {"Debian", "Debian-Security"} <= mirror.keys():
            raise NoArchive(
                "this machine's apt knows no archive of Debian and of its security updates, from "
                "which the kernels come (hint: run it on Debian, or name a kernel with KERNEL=)"
            )
        return mirror

    def _apt(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        options = (
            f"Dir={self._folder}",
            f"Dir::State={self._folder}",
            f"Dir::State::status={self._folder / 'status'}",
            f"Dir::Cache={self._folder / 'cache'}",
            # Images for containers switch these off: then each call reads all lists anew.
            "Dir::Cache::pkgcache=pkgcache.bin",
            "Dir::Cache::srcpkgcache=srcpkgcache.bin",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "Acquire::Languages=none",
            "APT::Sandbox::User=root",
        )
        program, *arguments = command
        given = [word for option in options for word in ("-o", option)]
        done = subprocess.run(
            (program, *given, *arguments),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
        )
        if check and done.returncode:
            raise NoArchive(f"{' '.join(command)}: {done.stdout.strip()}")
        return done.stdout


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])
