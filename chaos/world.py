"""The lab of a run: a world that answers, accepts and witnesses, and probers on the machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from chaos.kinds import Kind
from tests.lab.namespace import CommandFailed, Namespace
from tests.lab.topology import BRIDGE, RESOLVERS, UPLINK, Topology, topology
from tests.lab.wait import until

CHECKOUT = Path(__file__).parents[1]
# Pairs, one of each family; the first is what the lab has.
RESOLVER_PAIRS = (RESOLVERS, ("10.77.0.3", "fd77::3"), ("10.77.0.4", "fd77::4"))
PLACES = ("host", "container")
_READY = "ready\n"
_TIMEOUT_S = 20


@dataclass
class Script:
    """One of chaos/inside that runs until it is told to end.

    Attributes:
        lines: what it wrote, once it has ended.
        totals: its last line, likewise.
    """

    name: str
    output: Path
    process: subprocess.Popen[str]
    lines: tuple[str, ...] = ()
    totals: dict[str, Any] = field(default_factory=dict)

    def end(self) -> None:
        """Let it end and read what it wrote."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.wait(_TIMEOUT_S):
            raise CommandFailed(f"{self.name}: exit status {self.process.returncode}")
        self.lines = tuple(self.output.read_text("ascii").splitlines()[1:-1])
        self.totals = json.loads(self.output.read_text("ascii").rpartition("\n")[2])


@contextlib.contextmanager
def world() -> Iterator[Topology]:
    """Make a lab with names and servers; it ends with the block, or with this process."""
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(topology())
        for ipv4, ipv6 in RESOLVER_PAIRS[1:]:
            net.world.ip(
                f"address add {ipv4}/24 dev {UPLINK}", f"address add {ipv6}/64 dev {UPLINK} nodad"
            )
        # As Docker does: a bridge has the least address of its ports otherwise, and another one
        # when a container comes.
        (bridge,) = json.loads(net.host.run("ip", "-j", "link", "show", BRIDGE).stdout)
        net.host.ip(f"link set {BRIDGE} address {bridge['address']}")
        addresses = (address for pair in RESOLVER_PAIRS for address in pair)
        stack.enter_context(started(net.world, "responder", *addresses))
        stack.enter_context(started(net.world, "acceptor"))
        yield net


@contextlib.contextmanager
def started(namespace: Namespace, name: str, *arguments: object) -> Iterator[Script]:
    """Run a script of chaos/inside until the block ends; it begins when the script is ready."""
    output = namespace.directory / f"{name}.out"
    errors = namespace.directory / f"{name}.err"
    with output.open("w") as out, errors.open("w") as err:
        process = _popen(namespace, name, arguments, out, err)
    with process:
        try:

            def ready() -> bool:
                if process.poll() is not None:
                    raise CommandFailed(f"{name}: {errors.read_text()}")
                return output.read_text("ascii").startswith(_READY)

            until(ready, _TIMEOUT_S, f"{name} to be ready")
            yield Script(name, output, process)
            if process.poll():
                raise CommandFailed(f"{name}: {errors.read_text()}")
        finally:
            process.kill()


def _popen(
    namespace: Namespace, name: str, arguments: tuple[object, ...], out: IO[str], err: IO[str]
) -> subprocess.Popen[str]:
    return namespace.popen(
        *(sys.executable, "-m", f"chaos.inside.{name}", *map(str, arguments)),
        env={"PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
    )


@dataclass(frozen=True)
class Scripts:
    """What watches a run; to be read once it has ended.

    Attributes:
        witness: in the world.
        probers: by where they are.
        keepers: likewise.
    """

    witness: Script
    probers: Mapping[str, Script]
    keepers: Mapping[str, Script]


@contextlib.contextmanager
def probing(
    net: Topology, rate: float, seed: int, only: tuple[Kind, int] | None = None
) -> Iterator[Scripts]:
    """Probe, keep connections and have the world witness until the block ends.

    Args:
        net: of `world`.
        rate: connections a second in all.
        seed: of what is probed.
        only: connections of one kind and family; None: of all.

    Yields: what does so, and is to be read afterwards.
    """
    with contextlib.ExitStack() as stack:
        witness = stack.enter_context(started(net.world, "witness", UPLINK))
        probers, keepers = {}, {}
        for place in PLACES:
            namespace: Namespace = getattr(net, place)
            label = f"{place[0]}f" if only else place[0]
            options = (
                f"--rate={rate / len(PLACES)}",
                f"--label={label}",
                f"--seed={seed}-{place}",
                *((f"--only={only[0].name}", f"--family={only[1]}") if only else ()),
            )
            probers[place] = stack.enter_context(started(namespace, "prober", *options))
            keeper = started(namespace, "keeper", f"--label=k{label}")
            keepers[place] = stack.enter_context(keeper)
        yield Scripts(witness, probers, keepers)
        for script in (*probers.values(), *keepers.values(), witness):
            script.end()
