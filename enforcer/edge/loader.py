"""Get the BPF programs loaded by a short-lived process, so that this one never holds a compiler."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess  # noqa: TID251 - the compiler is another process
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import final

from enforcer.edge.bpf import Objects  # noqa: TID251 - what it yields
from enforcer.errors import DatapathError

# Isolated: neither the caller's environment nor the working directory decides what root imports.
COMPILER = (sys.executable, "-I", "-m", "enforcer.edge.compiler")
# A second where nobody else computes, half a minute on an emulated processor, and several times
# that where many compete for it; less than the five minutes that the unit gives a start.
TIMEOUT_S = 240.0
MESSAGE_SIZE = 1 << 16
MOST_DESCRIPTORS = 64
# How long a process that has let go of its socket may take to be gone.
DYING_S = 5.0
LAST_WORDS = 1 << 16
NAME = "the compiler of the BPF programs"
REPORT = "please report it with the release of the kernel and the version of bcc"


@final
class Compilation:
    """Programs being compiled and loaded, beside whatever else is done; begins at once.

    Left before `result`, it ends the process: nothing it loaded remains.

    Args:
        compiler: the command to run; it gets the descriptor of a socket as last argument.
        timeout_s: how long `result` waits.
    """

    def __init__(self, compiler: Sequence[str] = COMPILER, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        # One message, whole or not at all.
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A verifier may say megabytes; what it says matters only if it refuses.
        self._said = os.memfd_create("compiler", os.MFD_CLOEXEC)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    (*compiler, str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError as exc:
                self._channel.close()
                os.close(self._said)
                raise DatapathError(f"can't start {NAME}: {exc}") from exc

    def __enter__(self) -> Compilation:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end()

    def result(self) -> Objects:
        """Return what was loaded, once it is; the descriptors are the caller's to close.

        Raises:
            DatapathError: there is no bcc, it can't compile, the kernel refuses a program, or
                the process came to nothing.
        """
        with self:
            self._channel.settimeout(self._timeout_s)
            try:
                message, fds, _, _ = socket.recv_fds(self._channel, MESSAGE_SIZE, MOST_DESCRIPTORS)
            except TimeoutError as exc:
                text = f"{NAME} did not answer in {self._timeout_s:g} s"
                raise DatapathError(text, "see whether the machine is overloaded") from exc
            for fd in fds:
                os.set_inheritable(fd, False)  # noqa: FBT003  recv_fds of Python 3.11 has no flags
            if not message:
                raise self._died()
            return self._objects(message, fds)

    def _objects(self, message: bytes, fds: list[int]) -> Objects:
        objects = None
        try:
            reply = json.loads(message)
            if "error" in reply:
                words = self._last_words()
                text = f"{reply['error']}: {words}" if words else str(reply["error"])
                raise DatapathError(text, reply["hint"] or REPORT)
            programs, maps = reply["programs"], reply["maps"]
            if len(fds) == len(programs) + len(maps):
                objects = Objects(
                    dict(zip(programs, fds, strict=False)),
                    dict(zip(maps, fds[len(programs) :], strict=True)),
                    dict(reply["refused"]),
                )
        except (ValueError, TypeError, KeyError) as exc:
            raise DatapathError(f"{NAME} sent nonsense: {message[:80]!r}", REPORT) from exc
        finally:
            if objects is None:
                for fd in fds:
                    os.close(fd)
        if objects is None:
            raise DatapathError(f"{NAME} sent {len(fds)} descriptors for {message!r}", REPORT)
        return objects

    def _died(self) -> DatapathError:
        try:
            status = self._process.wait(DYING_S)
        except subprocess.TimeoutExpired:
            return DatapathError(f"{NAME} hung up", REPORT)
        words = self._last_words()
        said = f": {words}" if words else ""
        if status >= 0:
            return DatapathError(f"{NAME} ended with status {status}{said}", REPORT)
        number = signal.Signals(-status)
        hint = "see whether memory ran out: dmesg" if number is signal.SIGKILL else REPORT
        return DatapathError(f"{NAME} was ended by {number.name}{said}", hint)

    def _last_words(self) -> str:
        """Return the line of the compiler's or the verifier's output that says why."""
        size = os.fstat(self._said).st_size
        said = os.pread(self._said, LAST_WORDS, max(0, size - LAST_WORDS))
        lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
        errors = [line for line in lines if "error:" in line]
        # The verifier's log ends with its statistics.
        others = [line for line in lines if line and not line.startswith("processed ")]
        return next(iter(errors or others[-1:]), "")

    def _end(self) -> None:
        if self._channel.fileno() < 0:
            return
        self._process.kill()
        self._process.wait()
        self._channel.close()
        os.close(self._said)


def load() -> Objects:
    """Return the programs compiled and loaded now.

    Raises:
        DatapathError: as `Compilation.result`.
    """
    return Compilation().result()
