"""The Debian package: what it holds, and that this is enough."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deb.build import COMPLETIONS, SITE, SYSTEM, build
from enforcer.cli.main import COMMANDS

pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb"),
    pytest.mark.timeout(300),  # wheel and package take seconds of a processor of their own
]

CHECKOUT = Path(__file__).parents[2]
# Python alone, without the environment of the tests: only what the package holds is found.
IMPORTING = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    print(importlib.import_module(name).__file__)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package."""
    return build(CHECKOUT, tmp_path_factory.mktemp("package"), "none")


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the package would install."""
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(("dpkg-deb", "--extract", package, folder), check=True)
    return folder


def test_the_package_holds_units_manual_and_completions(package: Path, unpacked: Path) -> None:
    """Of root, below /usr, without a policy that an upgrade would ask about."""
    listed = subprocess.run(
        ("dpkg-deb", "--contents", package), check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {line.split()[1] for line in listed} == {"root/root"}
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}
    units = {f"usr/lib/systemd/system/{unit.name}" for unit in (CHECKOUT / "systemd").iterdir()}
    assert files >= units | {str(path) for path in COMPLETIONS.values()}
    assert files >= {"usr/share/man/man8/enforcer.8.gz", "usr/bin/enforcer"}
    assert all(file.startswith("usr/") for file in files)
    assert not any("__pycache__" in file for file in files)
    for path in COMPLETIONS.values():
        assert "_ENFORCER_COMPLETE" in (unpacked / path).read_text(encoding="utf-8")


def test_the_package_declares_what_it_does_not_hold(package: Path) -> None:
    """BCC and nft, and the release of Python that its libraries are for."""
    depends = subprocess.run(
        ("dpkg-deb", "--field", package, "Depends"), check=True, capture_output=True, text=True
    ).stdout
    for needed in ("python3-bpfcc", "nftables", "python3 (<< 3.", *SYSTEM.values()):
        assert needed in depends


def test_every_command_finds_what_it_needs_in_the_package(unpacked: Path) -> None:
    """With the system's Python, and nothing of the environment that the package was made in."""
    names = [f"enforcer.cli.{module}" for module in sorted(set(COMMANDS.values()))]
    site = unpacked / SITE
    command = ("/usr/bin/python3", "-I", "-c", IMPORTING, str(site), *names, "enforcer.daemon.main")
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=unpacked)
    if "No module named 'yaml'" in done.stderr:
        pytest.skip("python3-yaml, which the package depends on, is not installed")
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(site) for line in done.stdout.splitlines())
