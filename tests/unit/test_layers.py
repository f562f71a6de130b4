"""The layers hold: imports go only downward, and lint refuses one that does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("enforcer", "kernel-checks", "bpf", "pyproject.toml")

# Every import that a `noqa` lets through, and why it may be there.
EXCEPTIONS = {
    ("enforcer/edge/compiler.py", "bcc"),  # the one that speaks to bcc
    ("enforcer/edge/compiler.py", "enforcer.edge"),  # bytecode and kept, which it makes and asks
    ("enforcer/edge/bytecode.py", "enforcer.edge"),  # bpf, its base
    ("enforcer/edge/kept.py", "enforcer.edge"),  # bytecode, which it keeps
    ("enforcer/edge/loader.py", "subprocess"),  # the one that starts it
    ("enforcer/edge/loader.py", "enforcer.edge"),  # bpf, what it yields
    ("enforcer/edge/programs.py", "enforcer.edge"),  # bpf, maps and rings, its parts
    ("enforcer/edge/granted.py", "enforcer.edge"),  # maps, of which there are two
    ("enforcer/edge/judge.py", "enforcer.edge"),  # bpf, maps, rings and clocks, its parts
    ("enforcer/edge/rings.py", "enforcer.edge"),  # ring and maps, of which there are several
    ("enforcer/edge/maps.py", "enforcer.edge"),  # bpf, its base
    ("enforcer/edge/cgroup.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/earlier.py", "enforcer.edge"),  # bpf, maps and programs, of another process
    ("enforcer/edge/bpf.py", "enforcer.edge"),  # syscall, its base
    ("enforcer/edge/ring.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/firewall.py", "enforcer.edge"),  # nft, nfnetlink and nflisting, its parts
    ("enforcer/edge/nfmessages.py", "enforcer.edge"),  # netlink, what they are made of
    ("enforcer/edge/conntrack.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/nfnetlink.py", "enforcer.edge"),  # netlink and nfmessages, what it sends
    ("enforcer/edge/nflisting.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/nflog.py", "enforcer.edge"),  # netlink, what it is made of
    ("enforcer/edge/sockets.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/resolver.py", "enforcer.edge"),  # exchange, its other half
    ("enforcer/edge/sealed.py", "enforcer.edge"),  # cgroup and maps, what seals them
    ("enforcer/edge/sealed.py", "subprocess"),  # what makes them in another cgroup
    ("enforcer/edge/metrics_port.py", "enforcer.edge"),  # control, whose answers it gives
    ("enforcer/edge/nft.py", "subprocess"),  # the one that starts nft
    ("enforcer/edge/caches.py", "subprocess"),  # the one that starts their tools
    ("enforcer/edge/unit.py", "subprocess"),  # the one that starts systemctl
    ("enforcer/edge/unit.py", "enforcer.edge"),  # runtime, for the directory of the service
    ("enforcer/edge/links.py", "enforcer.edge"),  # rtnetlink, its base
    ("enforcer/edge/filters.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/runtime.py", "enforcer.edge"),  # locks and own_files, what it is made of
    ("enforcer/edge/locks.py", "enforcer.edge"),  # own_files, likewise
    ("enforcer/edge/policy_file.py", "enforcer.edge"),  # memory, which a long policy takes
    ("enforcer/edge/last_words.py", "enforcer.edge"),  # own_files and runtime, likewise
    ("enforcer/edge/boot_ruleset.py", "enforcer.edge"),  # likewise
    ("enforcer/edge/exchange.py", "enforcer.edge"),  # dns_socket, its sockets
    ("enforcer/edge/control.py", "enforcer.edge"),  # scheduling, of its threads
}


def banned_imports(tree: Path) -> set[tuple[str, str]]:
    """Return (file, what it imports) for every import in *tree* that its layer bans."""
    command = [sys.executable, "-m", "ruff", "check", "--select=TID251,TID252", "--ignore-noqa"]
    command += ["--no-cache", "--exit-zero", "--output-format=json", *SOURCES[:3]]
    found = subprocess.run(command, cwd=tree, capture_output=True, check=True, text=True)
    return {
        (str(Path(row["filename"]).relative_to(tree)), row["message"].split("`")[1])
        for row in json.loads(found.stdout)
    }


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the sources to spoil."""
    for name in SOURCES:
        source, target = CHECKOUT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def test_only_the_named_imports_cross_a_layer() -> None:
    """What `noqa` lets through in the sources is what EXCEPTIONS names."""
    assert banned_imports(CHECKOUT) == EXCEPTIONS


@pytest.mark.parametrize(
    ("file", "statement", "banned"),
    [
        ("enforcer/core/addresses.py", "import asyncio", "asyncio"),
        ("enforcer/core/addresses.py", "import bcc", "bcc"),
        ("enforcer/core/addresses.py", "import os.path", "os"),
        ("enforcer/core/addresses.py", "import socket", "socket"),
        ("enforcer/core/addresses.py", "import time", "time"),
        ("enforcer/core/addresses.py", "import http.server", "http"),
        ("enforcer/core/addresses.py", "from dns import asyncresolver", "dns.asyncresolver"),
        ("enforcer/core/addresses.py", "from enforcer import daemon", "enforcer.daemon"),
        ("enforcer/core/addresses.py", "import enforcer.status", "enforcer.status"),
        ("enforcer/core/addresses.py", "from enforcer.cli import main", "enforcer.cli"),
        ("enforcer/core/addresses.py", "from enforcer.edge import firewall", "enforcer.edge"),
        ("enforcer/core/addresses.py", "from pyroute2 import IPRoute", "pyroute2"),
        ("enforcer/core/addresses.py", "from subprocess import run", "subprocess"),
        ("enforcer/edge/notify.py", "import bcc", "bcc"),
        ("enforcer/edge/notify.py", "import subprocess", "subprocess"),
        ("enforcer/edge/notify.py", "from enforcer.edge.firewall import Firewall", "enforcer.edge"),
        ("enforcer/edge/notify.py", "from enforcer import daemon", "enforcer.daemon"),
        ("enforcer/errors.py", "import bcc", "bcc"),
        ("enforcer/errors.py", "import pyroute2", "pyroute2"),
        ("enforcer/errors.py", "import subprocess", "subprocess"),
        ("kernel-checks/__init__.py", "import pyroute2", "pyroute2"),
        ("kernel-checks/__init__.py", "from enforcer.core import addresses", "enforcer.core"),
    ],
)
def test_lint_refuses_an_import_that_crosses_a_layer(
    copy: Path, file: str, statement: str, banned: str
) -> None:
    """One line that a layer bans, put at the end of a file of that layer, is found."""
    before = banned_imports(copy)
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{statement}\n")
    assert banned_imports(copy) - before == {(file, banned)}


def test_lint_knows_the_edges_that_may_speak_netlink(copy: Path) -> None:
    """The rules of an edge do not ban what edges are for."""
    before = banned_imports(copy)
    with (copy / "enforcer/edge/notify.py").open("a", encoding="utf-8") as source:
        source.write("\nimport pyroute2\nfrom enforcer.core import addresses\n")
    assert banned_imports(copy) == before
