"""A lab whose world answers every name and accepts every connection, by processes of its own.

Unlike the name server of the tests, which is scriptable, that of the world costs
little: what is compared is not drowned in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lab.namespace import CommandFailed, Namespace
from tests.lab.topology import RESOLVERS, Topology, topology

CHECKOUT = Path(__file__).parents[1]
# Below FRESH of bench/inside/responder.py.
ZONE = "fresh.bench.test"
IPERF_ZONE = "iperf.bench.test"
RESOLVER = RESOLVERS[0]
IPERF_PORT = 5201
RUN_TIMEOUT_S = 300
_ENV = {"PYTHONPATH": str(CHECKOUT)}
_FIRST = (0, 1 << 15)  # fresh addresses of each responder


@contextlib.contextmanager
def in_the_world() -> Iterator[None]:
    """Have processes started in the block run on the last CPU.

    Who shares a CPU with whom would otherwise change from run to run, and decide
    more than what is compared does. A daemon is not tied to any.
    """
    with _pinned({max(os.sched_getaffinity(0))}):
        yield


@contextlib.contextmanager
def on_the_machine() -> Iterator[None]:
    """Have processes started in the block run on any but the last CPU."""
    every = os.sched_getaffinity(0)
    with _pinned(every - {max(every)} or every):
        yield


@contextlib.contextmanager
def _pinned(cpus: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def world() -> Iterator[Topology]:
    """Make a lab with names and servers; it ends with the block, or with this process."""
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(topology())
        with in_the_world():
            for address, first in zip(RESOLVERS, _FIRST, strict=True):
                stack.enter_context(started(net.world, "responder", address, f"--first={first}"))
            stack.enter_context(started(net.world, "acceptor"))
        yield net


def script(name: str, *arguments: object) -> tuple[str, ...]:
    """Return the command line of one of the scripts in bench/inside."""
    return (sys.executable, "-m", f"bench.inside.{name}", *map(str, arguments))


@contextlib.contextmanager
def started(namespace: Namespace, name: str, *arguments: object) -> Iterator[None]:
    """Run a script inside *namespace* until the block ends; it begins when the script is ready."""
    process = namespace.popen(
        *script(name, *arguments), env=_ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                process.kill()
                raise CommandFailed(f"{name}: {process.communicate()[1]}")
            yield
        finally:
            process.kill()


def ran(namespace: Namespace, name: str, *arguments: object) -> dict[str, Any]:
    """Run a script inside *namespace* to its end and return what it printed."""
    with on_the_machine():
        done = namespace.run(*script(name, *arguments), env=_ENV, timeout_s=RUN_TIMEOUT_S)
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


@contextlib.contextmanager
def load(namespace: Namespace, *arguments: object) -> Iterator[None]:
    """Have *namespace* ask names of the zone until the block ends."""
    with contextlib.ExitStack() as stack:
        with on_the_machine():
            stack.enter_context(started(namespace, "asker", RESOLVER, ZONE, *arguments))
        yield
