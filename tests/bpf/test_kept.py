"""Compiled programs that a file keeps: loaded without a compiler, and believed only if root's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.edge import compiler
from enforcer.edge.bytecode import Bytecode
from enforcer.edge.kept import FOLDER
from enforcer.edge.loader import Compilation
from enforcer.errors import DatapathError

pytestmark = pytest.mark.root

COMPILE = (
    "import pathlib, sys; sys.path.insert(0, sys.argv[1]);"
    "from enforcer.edge.compiler import main; main(pathlib.Path(sys.argv[2]))"
)
COMPILED_ANEW = "can't import bcc in .*: not this time"
NOBODY = 65534


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that a compiler has left."""
    folder = tmp_path_factory.mktemp("compiled")
    load(folder, folder)
    (file,) = folder.glob("programs-*")
    return file


@pytest.fixture
def kept(compiled: Path, tmp_path: Path) -> Path:
    """Return a copy of that file, in a folder of its own, to spoil."""
    return Path(shutil.copy(compiled, tmp_path))


@pytest.fixture
def no_bcc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bcc of the version that is installed and no compiler in it."""
    spec = importlib.util.find_spec("bcc")
    assert spec is not None
    assert spec.origin is not None
    folder = tmp_path_factory.mktemp("no-bcc")
    (folder / "bcc").mkdir()
    (folder / "bcc" / "__init__.py").write_text("raise ImportError('not this time')")
    shutil.copy(Path(spec.origin).with_name("version.py"), folder / "bcc")
    return folder


def load(cache: Path, bcc: Path, sources: Path = compiler.FOLDER) -> None:
    """Load all programs as the daemon does.

    Args:
        cache: the folder that the service manager gives.
        bcc: a folder of modules before all others.
        sources: of the programs.

    Raises:
        DatapathError: it is refused.
    """
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(cache)
    try:
        command = (sys.executable, "-I", "-c", COMPILE, str(bcc), str(sources))
        objects = Compilation(command).result()
    finally:
        os.environ.pop(FOLDER)
        if before is not None:
            os.environ[FOLDER] = before
    try:
        assert set(objects.programs) == {*compiler.PROGRAMS, *compiler.OPTIONAL}
        assert set(objects.maps) == set(compiler.MAPS)
        assert objects.refused == {}
    finally:
        objects.close()


def test_what_is_kept_takes_no_compiler(kept: Path, no_bcc: Path) -> None:
    """The same text is loaded as it was compiled before; without the file bcc is asked."""
    load(kept.parent, no_bcc)
    kept.unlink()
    with pytest.raises(DatapathError, match=COMPILED_ANEW):
        load(kept.parent, no_bcc)


def test_another_text_is_compiled_and_takes_the_place(
    compiled: Path, kept: Path, no_bcc: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is kept belongs to one text, and one file is enough."""
    sources = tmp_path_factory.mktemp("sources")
    shutil.copytree(compiler.FOLDER, sources, dirs_exist_ok=True)
    with (sources / "enforcer.c").open("a") as text:
        text.write("\n// another\n")
    with pytest.raises(DatapathError, match=COMPILED_ANEW):
        load(kept.parent, no_bcc, sources)
    load(kept.parent, sources, sources)
    (other,) = kept.parent.glob("programs-*")
    assert other.name != compiled.name


def _shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _flip(file: Path) -> None:
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.write_bytes(octets)


def _give_away(file: Path) -> None:
    os.chown(file, NOBODY, NOBODY)


def _link(file: Path) -> None:
    shutil.move(file, file.parent / "elsewhere")
    file.symlink_to(file.parent / "elsewhere")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize(
    "spoil",
    [
        _shorten,
        _flip,
        _give_away,
        _link,
        _pipe,
        lambda file: file.chmod(0o620),
        lambda file: file.parent.chmod(0o777),
        lambda file: os.chown(file.parent, NOBODY, NOBODY),
    ],
    ids=["short", "flipped", "another's", "link", "pipe", "writable", "folder", "another's folder"],
)
def test_what_somebody_else_can_have_written_is_compiled_anew(
    kept: Path, no_bcc: Path, spoil: Callable[[Path], None]
) -> None:
    """And what is not whole."""
    spoil(kept)
    with pytest.raises(DatapathError, match=COMPILED_ANEW):
        load(kept.parent, no_bcc)


def test_what_the_kernel_refuses_is_compiled_anew(kept: Path, tmp_path: Path) -> None:
    """A verifier that has become stricter must not keep the daemon from starting."""
    known = Bytecode.read(kept.read_bytes())
    first, *others = known.programs
    kept.write_bytes(replace(known, programs=(replace(first, code=bytes(16)), *others)).octets())
    load(kept.parent, tmp_path)
    assert Bytecode.read(kept.read_bytes()) == known


def test_a_folder_that_is_full_or_gone_is_no_obstacle(tmp_path: Path) -> None:
    """What can't be kept is compiled at each start."""
    load(tmp_path / "gone", tmp_path)
