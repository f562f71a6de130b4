"""The programs as a real compiler and a real kernel take or refuse them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.edge import compiler
from enforcer.edge.bpf import program_id, program_name
from enforcer.edge.loader import Compilation, load
from enforcer.errors import DatapathError

pytestmark = pytest.mark.root

JUDGING = {"judge_connect4", "judge_connect6"}
NOTING = set(compiler.OPTIONAL) - JUDGING
COMPILE = (
    "import pathlib, sys; from enforcer.edge.compiler import main; main(pathlib.Path(sys.argv[1]))"
)
# The compiler as it is, with another bcc before the real one.
BCC_HERE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from enforcer.edge.compiler import main; main()"
)


def refused(folder: Path, file: str, replacement: tuple[str, str]) -> DatapathError:
    """Return the error that comes of the sources with one text of *file* replaced."""
    shutil.copytree(compiler.FOLDER, folder, dirs_exist_ok=True)
    source = folder / file
    text = source.read_text()
    assert replacement[0] in text
    source.write_text(text.replace(*replacement))
    with pytest.raises(DatapathError) as caught:
        Compilation((sys.executable, "-I", "-c", COMPILE, str(folder))).result()
    assert "\n" not in str(caught.value)
    return caught.value


def test_every_program_and_map_is_handed_over() -> None:
    """The kernel knows each descriptor by the name it comes with."""
    objects = load()
    try:
        names = {name: program_name(program_id(fd)) for name, fd in objects.programs.items()}
        assert names == {name: name for name in (*compiler.PROGRAMS, *compiler.OPTIONAL)}
        assert objects.refused == {}
        assert set(objects.maps) == set(compiler.MAPS)
        assert all(
            Path(f"/proc/self/fd/{fd}").readlink().name.endswith("map")
            for fd in objects.maps.values()
        )
    finally:
        objects.close()


def test_the_compiler_alone_sees_no_symbols_of_the_kernel(tmp_path: Path) -> None:
    """A fifth of its time went into reading them, and nothing it compiles needs one."""
    symbols = Path("/proc/kallsyms")
    assert symbols.read_bytes()
    (tmp_path / "bcc.py").write_text(f"raise ImportError(len(open({str(symbols)!r}).read()))")
    compiler_here = (sys.executable, "-I", "-c", BCC_HERE, str(tmp_path))
    with pytest.raises(DatapathError, match=r"can't import bcc in .*: 0 \("):
        Compilation(compiler_here).result()
    assert symbols.read_bytes()


def test_what_does_not_compile_is_named_with_its_line(tmp_path: Path) -> None:
    """The file and line are those of the source, not of what bcc makes of it."""
    error = refused(tmp_path, "forward_mark.c", ("mark_forwarded(skb);", "no_such_thing;"))
    assert "can't compile" in error.message
    assert "forward_mark.c" in error.message
    assert "no_such_thing" in error.message


def test_what_the_verifier_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    """The program and the verifier's last word, not its listing of thousands of instructions."""
    out_of_bounds = "return *(volatile int *)(long)skb->len;"
    error = refused(tmp_path, "dns_query.c", ("return TC_ACT_UNSPEC;", out_of_bounds))
    assert 'can\'t load the BPF program "dns_query"' in error.message
    assert "invalid mem access" in error.message


def test_without_what_notes_processes_the_rest_is_handed_over(tmp_path: Path) -> None:
    """As before Linux 5.7, which has no helper for the pid there; it is told why."""
    shutil.copytree(compiler.FOLDER, tmp_path, dirs_exist_ok=True)
    source = tmp_path / "connector.h"
    text = source.read_text()
    unknown = text.replace("bpf_get_current_pid_tgid()", "bpf_get_hash_recalc((void *)ctx)")
    assert text != unknown
    source.write_text(unknown)
    objects = Compilation((sys.executable, "-I", "-c", COMPILE, str(tmp_path))).result()
    try:
        assert set(objects.programs) == {*compiler.PROGRAMS, *JUDGING}
        assert set(objects.maps) == set(compiler.MAPS)
        assert set(objects.refused) == {"noting"}
        assert "can't tell processes apart" in objects.refused["noting"]
        assert "bpf_get_hash_recalc" in objects.refused["noting"]
    finally:
        objects.close()


def test_without_what_judges_connections_the_rest_is_handed_over(tmp_path: Path) -> None:
    """As before Linux 5.7, which can't tell network namespaces apart there; it is told why."""
    shutil.copytree(compiler.FOLDER, tmp_path, dirs_exist_ok=True)
    source = tmp_path / "judge_connect.c"
    text = source.read_text()
    unknown = text.replace("(void *)122", "(void *)12345")
    assert text != unknown
    source.write_text(unknown)
    objects = Compilation((sys.executable, "-I", "-c", COMPILE, str(tmp_path))).result()
    try:
        assert set(objects.programs) == set(compiler.PROGRAMS) | NOTING
        assert set(objects.refused) == {"judging"}
        assert "can't judge connections as they begin: " in objects.refused["judging"]
        assert "invalid func" in objects.refused["judging"]
    finally:
        objects.close()


def test_the_loading_process_holds_no_compiler() -> None:
    """The compiler and LLVM are in the process that ends, and not in the one that goes on."""
    script = (
        "import os, pathlib, sys\n"
        "from enforcer.edge.loader import load\n"
        "from enforcer.edge.programs import Programs\n"
        "programs = Programs(load())\n"
        "assert 'bcc' not in sys.modules\n"
        "assert 'BCC_KERNEL_SOURCE' not in os.environ\n"
        "print(pathlib.Path('/proc/self/maps').read_text())\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script), capture_output=True, check=True, text=True
    )
    assert "libpython" in done.stdout or "/python" in done.stdout
    assert "LLVM" not in done.stdout
    assert "libbcc" not in done.stdout
