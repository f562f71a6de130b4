"""The wheel holds everything, and works where there is no checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deb.closure import copy_closure
from enforcer import __version__

CHECKOUT = Path(__file__).parents[2]
BUILT_FROM = ("enforcer", "bpf", "kernel-checks", "pyproject.toml", "README.md", "LICENSE")
# Folder in the checkout, folder in the wheel, what of it belongs there.
SHIPPED = (
    ("enforcer", "enforcer", "**/*.py"),
    ("enforcer", "enforcer", "core/*.yaml"),
    ("bpf", "enforcer/bpf", "__init__.py"),
    ("bpf", "enforcer/bpf", "*.c"),
    ("bpf", "enforcer/bpf", "*.h"),
    ("bpf", "enforcer/bpf", "shim/**/*.h"),
    ("kernel-checks", "enforcer/kernel_checks", "*.py"),
)


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel installed, and an empty folder to run it from."""

    venv: Path
    cwd: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run *program* of the environment without anything of this process's environment."""
        return subprocess.run(
            [self.venv / "bin" / program, *arguments],
            cwd=self.cwd,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            check=False,
            text=True,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, where no earlier build left anything."""
    tree = tmp_path_factory.mktemp("tree")
    for name in BUILT_FROM:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", tree)
    subprocess.run(command, cwd=tree.parent, capture_output=True, check=True, text=True)
    (built,) = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel without a network, beside what it declares to need and nothing else."""
    folder = tmp_path_factory.mktemp("installation")
    venv, cwd = folder / "venv", folder / "elsewhere"
    cwd.mkdir()
    python = Path(sys.base_prefix, "bin", "python3")
    make = (python, "-m", "venv", "--system-site-packages", venv)
    subprocess.run(make, capture_output=True, check=True, text=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    copy_closure("enforcer", packages)
    installation = Installation(venv, cwd)
    done = installation.run("python", "-m", "pip", "install", "--no-index", str(wheel))
    assert done.returncode == 0, done.stderr
    return installation


def test_wheel_holds_the_sources_and_nothing_else(wheel: Path) -> None:
    """Python, BPF sources, header shim and data are in the wheel; configuration is not."""
    expected = {
        f"{target}/{path.relative_to(CHECKOUT / source)}"
        for source, target, pattern in SHIPPED
        for path in (CHECKOUT / source).glob(pattern)
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"enforcer/bpf/shim/include/linux/types.h", "enforcer/core/presets.yaml"} <= names


def test_wheel_tells_what_it_is_and_needs(wheel: Path) -> None:
    """Version, licence and Python are declared; bcc is not, as PyPI has another one."""
    folder = f"enforcer-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "GPL-2.0-only"
    assert metadata["Requires-Python"] == ">=3.10"
    needed = {Requirement(text).name for text in metadata.get_all("Requires-Dist", ())}
    assert {"dnspython", "pyroute2"} <= needed
    assert "bcc" not in needed
    assert "Version 2, June 1991" in licence


def test_installed_wheel_runs_without_the_checkout(installation: Installation) -> None:
    """Every part is imported from the installation, and `enforcer --version` says which it is."""
    script = "import enforcer.{0} as m; print(m.__file__)"
    for part in ("bpf", "cli.main", "daemon", "kernel_checks"):
        imported = installation.run("python", "-c", script.format(part))
        assert imported.returncode == 0, imported.stderr
        assert Path(imported.stdout).is_relative_to(installation.venv)
    version = installation.run("enforcer", "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert __version__ in version.stdout


def test_installed_wheel_checks_the_kernel(installation: Installation) -> None:
    """`enforcer check` reports from an installation, in any folder, as any user."""
    checked = installation.run("enforcer", "check", "--json")
    assert checked.returncode in {0, 4}, checked.stderr
    assert json.loads(checked.stdout)
    assert list(installation.cwd.iterdir()) == []


@pytest.mark.root
def test_installed_wheel_loads_its_bpf_programs(installation: Installation) -> None:
    """The sources and the header shim inside the wheel are enough to compile and load."""
    script = "from enforcer.edge.loader import load; load().close()"
    loaded = installation.run("python", "-c", script)
    assert loaded.returncode == 0, loaded.stderr


def test_lock_names_no_place() -> None:
    """The lock pins versions and hashes, and nothing of the machine that made it."""
    lock = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in lock
    for trace in ("://", "--index-url", "--find-links", " /", "@ file"):
        assert trace not in lock
