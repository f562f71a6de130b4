"""What can be seen of the machine and its service, and done to them.

Standard library only, like world.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vm.inside.service.world import DENIED, PERMITTED, TRIED, boot, connects

FAILED = Path("/var/lib/scenario/failed")
# An emulated processor is some twenty times slower than the machine it is on.
SLOW_S = 900
HEALTHY_S = 180


def holds(what: str, condition: object) -> None:
    """Say whether *what* does."""
    print(f"scenario: {'ok' if condition else 'NOT'} {what}", flush=True)
    if not condition:
        with FAILED.open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")


def in_time(condition: Callable[[], object], timeout_s: float = SLOW_S) -> bool:
    """Wait until *condition* is true; return whether it became so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its status."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"scenario: {' '.join(command)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done


def shown(name: str, unit: str = "enforcer.service") -> str:
    """Return a property of a unit."""
    return run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()


def active() -> bool:
    """Tell whether the daemon enforces."""
    return shown("ActiveState") == "active"


def closed() -> bool:
    """Tell whether what is denied is denied, and what is permitted permitted."""
    return not connects(DENIED) and connects(PERMITTED)


def opened(since: float) -> int:
    """Return how often the one who tries got through since then, by the clock of this boot."""
    here = [line for line in tries() if line["boot"] == boot()]
    before = max((line["open"] for line in here if line["at"] < since), default=0)
    # Its last line is a second old at the most; a try may be under way.
    in_time(lambda: last()["at"] > time.monotonic() - 0.5 or last()["at"] > since + 2, 10)
    return int(last()["open"]) - int(before)


def tries() -> list[dict[str, Any]]:
    """Return what the one who tries has noted in all boots."""
    return [json.loads(line) for line in TRIED.read_text(encoding="utf-8").splitlines()]


def last() -> dict[str, Any]:
    """Return what the one who tries noted last."""
    return tries()[-1]


def reached_s(unit: str, change: str = "ActiveEnter") -> float:
    """Return when a unit's state last changed so, in seconds of this boot; 0: it did not."""
    return int(shown(f"{change}TimestampMonotonic", unit)) / 1e6


def never_opens(what: str, event: Callable[[], object]) -> None:
    """Have *event* happen, wait for a daemon, and see that nobody got through."""
    before, since = shown("MainPID"), time.monotonic()
    event()
    holds(
        f"{what}: another daemon",
        in_time(lambda: active() and shown("MainPID") not in {before, "0"}),
    )
    holds(f"{what}: never open", opened(since) == 0)
    holds(f"{what}: closed", closed())


def kill(number: signal.Signals) -> None:
    """Send the daemon a signal."""
    os.kill(int(shown("MainPID")), number)


def ours_in_kernel() -> str:
    """Return what of a firewall is there."""
    tables = run("nft", "list", "tables").stdout
    filters = "".join(
        run("tc", "filter", "show", "dev", device, direction).stdout
        for device in ("lo", "uplink")
        for direction in ("ingress", "egress")
    )
    return (tables + filters).strip()


def status() -> dict[str, object]:
    """Return what `enforcer status --json` says, whatever its exit status."""
    said = subprocess.run(
        ("enforcer", "status", "--json"), check=False, capture_output=True, text=True
    ).stdout
    found: dict[str, object] = json.loads(said or "{}")
    return found


def healthy() -> bool:
    """Tell whether it becomes so; say what is wrong if not."""
    if in_time(lambda: status().get("healthy"), HEALTHY_S):
        return True
    print("scenario: problems", status().get("problems"), status().get("proof"), flush=True)
    return False


def capabilities() -> str:
    """Return the capabilities of the daemon, by thread."""
    found = set()
    for task in Path(f"/proc/{shown('MainPID')}/task").iterdir():
        lines = (task / "status").read_text(encoding="utf-8").splitlines()
        found |= {line.split()[1] for line in lines if line.startswith("CapEff:")}
    return " ".join(sorted(found))
