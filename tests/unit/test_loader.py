"""The process that compiles the BPF programs: each way it can fail is one error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.edge.loader import Compilation
from enforcer.errors import DatapathError
from tests.lab.wait import until

# The compiler as it is, with another bcc before the real one.
WITH_BCC = (
    "import sys; sys.path.insert(0, sys.argv[1]);from enforcer.edge.compiler import main; main()"
)
# Something else in its place, with the socket as `channel`.
INSTEAD = "import socket, sys, os; channel = socket.socket(fileno=int(sys.argv[-1]));"


def left_behind() -> tuple[set[str], set[str]]:
    """Return this process's descriptors, by what they are, and its children."""
    descriptors = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            descriptors.add(f"{each.name} {each.readlink()}")
        except FileNotFoundError:  # the one that lists them
            continue
    children = {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }
    return descriptors, children


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Hold every test to leaving no descriptor and no process behind."""
    before = left_behind()
    yield
    assert left_behind() == before


def refused(*compiler: str, timeout_s: float = 30) -> DatapathError:
    """Return the error that comes of *compiler*."""
    with pytest.raises(DatapathError) as caught:
        Compilation(compiler, timeout_s).result()
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def with_bcc(folder: Path, text: str) -> tuple[str, ...]:
    """Return the command of the compiler where `import bcc` runs *text*."""
    (folder / "bcc.py").write_text(text)
    return (sys.executable, "-I", "-c", WITH_BCC, str(folder))


def instead(text: str) -> tuple[str, ...]:
    """Return the command of a program that is started as the compiler is."""
    return (sys.executable, "-I", "-c", INSTEAD + text)


def test_no_bcc_is_said_with_the_package_that_has_it(tmp_path: Path) -> None:
    """The distribution's package is named."""
    error = refused(*with_bcc(tmp_path, "raise ModuleNotFoundError('No module named bcc')"))
    assert "No module named bcc" in error.message
    assert "apt install python3-bpfcc" in str(error.hint)


def test_another_projects_bcc_is_told_from_it(tmp_path: Path) -> None:
    """PyPI's bcc is a lattice library: it imports, and has no BPF."""
    error = refused(*with_bcc(tmp_path, "class Lattice: ..."))
    assert "another project's bcc" in error.message
    assert "pip uninstall bcc" in str(error.hint)


def test_what_bcc_raises_is_translated(tmp_path: Path) -> None:
    """Bare Exceptions, as bcc has them, come with what was being done."""
    error = refused(*with_bcc(tmp_path, "def BPF(**_): raise Exception('out of luck')"))
    assert error.message == "can't compile the BPF programs: out of luck"


def test_what_the_compiler_printed_is_in_the_error(tmp_path: Path) -> None:
    """Clang says why on stderr, and bcc only that it failed."""
    text = (
        "import sys\n"
        "def BPF(**_):\n"
        "    print('a.c:1:1: error: no such thing\\n1 error generated.', file=sys.stderr)\n"
        "    raise Exception('Failed to compile')\n"
    )
    error = refused(*with_bcc(tmp_path, text))
    assert error.message.endswith("Failed to compile: a.c:1:1: error: no such thing")


def test_an_exit_of_bcc_is_no_silence(tmp_path: Path) -> None:
    """Its layout decoder calls sys.exit(1) for types it does not know."""
    error = refused(*with_bcc(tmp_path, "def BPF(**_): raise SystemExit(1)"))
    assert "ended with status 1" in error.message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_compiler_is_named_with_its_signal(number: signal.Signals) -> None:
    """The OOM killer's victim is told from one that crashed."""
    error = refused(*instead(f"os.kill(os.getpid(), {number})"))
    assert number.name in error.message
    assert ("memory" in str(error.hint)) == (number is signal.SIGKILL)


def test_a_hung_compiler_is_waited_for_so_long_and_ended() -> None:
    """It can't keep the daemon from failing."""
    error = refused(*instead("import time; time.sleep(1000)"), timeout_s=0.2)
    assert "did not answer in 0.2 s" in error.message


@pytest.mark.parametrize(
    "reply", [b"?", b"[]", b"{}", b'{"error": 1}', b'{"programs": 3, "maps": []}']
)
def test_nonsense_is_refused(reply: bytes) -> None:
    """Whatever it is that answers, it is not believed."""
    assert "nonsense" in refused(*instead(f"channel.send({reply!r})")).message


@pytest.mark.parametrize("count", [0, 1, 3])
def test_descriptors_that_do_not_fit_the_names_are_closed(count: int) -> None:
    """One too few and one too many are both wrong, and none of them is kept."""
    reply = json.dumps({"programs": ["a"], "maps": ["b"]}).encode()
    command = instead(f"socket.send_fds(channel, [{reply!r}], [0] * {count})")
    assert f"{count} descriptors" in refused(*command).message


def test_descriptors_come_by_name() -> None:
    """Programs first, then maps."""
    reply = json.dumps({"programs": ["a"], "maps": ["b"], "refused": {}}).encode()
    text = f"socket.send_fds(channel, [{reply!r}], [os.open('/', 0), os.open('/proc', 0)])"
    objects = Compilation(instead(text)).result()
    try:
        assert Path(f"/proc/self/fd/{objects.programs['a']}").readlink() == Path("/")
        assert Path(f"/proc/self/fd/{objects.maps['b']}").readlink() == Path("/proc")
        assert not any(map(os.get_inheritable, (objects.programs["a"], objects.maps["b"])))
    finally:
        objects.close()


def test_no_interpreter_is_said() -> None:
    """A program that can't be started is an error like the others."""
    with pytest.raises(DatapathError, match="can't start"):
        Compilation(("/nonexistent",))


def test_an_abandoned_compilation_is_ended() -> None:
    """A start that fails for another reason leaves no compiler at work."""
    with Compilation(instead("import time; time.sleep(1000)")):
        pass


def test_the_compiler_ends_with_its_parent(tmp_path: Path) -> None:
    """A daemon killed while it starts leaves no process that compiles for nobody."""
    pid_file = tmp_path / "pid"
    hang = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(pid_file)!r} + '.new').write_text(str(os.getpid()))\n"
        f"os.rename({str(pid_file)!r} + '.new', {str(pid_file)!r})\n"
        "time.sleep(1000)\n"
    )
    parent = (
        f"from enforcer.edge.loader import Compilation; Compilation({with_bcc(tmp_path, hang)!r},"
        " 1000).result()"
    )
    with subprocess.Popen((sys.executable, "-I", "-c", parent)) as process:
        until(pid_file.exists, 20, "the compiler to run")
        compiler = Path("/proc") / pid_file.read_text()
        process.kill()
    until(lambda: not compiler.exists(), 20, "the compiler to end")
