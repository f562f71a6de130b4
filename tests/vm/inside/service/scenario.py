"""What happens to a machine with the package, boot by boot; a line for each thing that holds.

Standard library only, like world.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.vm.inside.service.world import DENIED, NAME, NAMED, PERMITTED, TRIED, boot, connects

STAGE = Path("/var/lib/scenario/stage")
PACKAGE = "/scenario/enforcer.deb"
POLICY = Path("/etc/enforcer/policy.yaml")
KEPT = Path("/var/lib/enforcer/boot.nft")
TEXT = f"""\
version: 1
organization: acme
mode: enforce
hosts: [{NAME}]
networks: [198.18.1.0/24]
resolvers: [10.77.0.1]
"""
# An emulated processor is some twenty times slower than the machine it is on.
SLOW_S = 900
WATCHDOG_S = 60


def holds(what: str, condition: object) -> None:
    """Say whether *what* does."""
    print(f"scenario: {'ok' if condition else 'NOT'} {what}", flush=True)


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
    lines = [json.loads(line) for line in TRIED.read_text(encoding="utf-8").splitlines()]
    here = [line for line in lines if line["boot"] == boot()]
    before = max((line["open"] for line in here if line["at"] < since), default=0)
    # Its last line is a second old at the most; a try may be under way.
    in_time(lambda: _last()["at"] > time.monotonic() - 0.5 or _last()["at"] > since + 2, 10)
    return int(_last()["open"]) - int(before)


def _last() -> dict[str, float]:
    line: dict[str, float] = json.loads(TRIED.read_text(encoding="utf-8").splitlines()[-1])
    return line


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


def first() -> None:
    """From an empty machine to one that enforces, and all that happens to a service."""
    holds("open before it is installed", in_time(lambda: connects(DENIED)))
    holds("installed", run("dpkg", "--install", PACKAGE).returncode == 0)
    holds("it runs once it is installed", in_time(active))
    holds("it will at the next boot", run("systemctl", "is-enabled", "enforcer").returncode == 0)
    holds("as installed it denies nothing", connects(DENIED))
    holds("it is in audit mode", status()["mode"] == "audit")
    holds("check", run("enforcer", "check").returncode == 0)
    holds("manual page", run("man", "--where", "enforcer").returncode == 0)
    units = ("enforcer.service", "enforcer-early.service")
    verified = run("systemd-analyze", "verify", *units)
    holds("systemd-analyze verify", (verified.returncode, verified.stderr) == (0, ""))
    for unit in units:
        print("scenario:", run("systemd-analyze", "security", unit).stdout.splitlines()[-1])
    POLICY.write_text(TEXT, encoding="utf-8")
    holds("systemctl reload", run("systemctl", "reload", "enforcer").returncode == 0)
    holds("closed by a policy", in_time(closed))
    holds("a permitted name", in_time(lambda: connects(NAMED)))
    holds("healthy", in_time(lambda: status()["healthy"]))
    said = "enforcing the policy of acme: 1 hosts"
    holds("its state in words", in_time(lambda: shown("StatusText") == said))
    print("scenario: capabilities", capabilities())
    never_opens("restart", lambda: run("systemctl", "restart", "enforcer"))
    never_opens("upgrade", lambda: run("dpkg", "--install", PACKAGE))
    holds("an upgrade keeps the policy", POLICY.read_text(encoding="utf-8") == TEXT)
    never_opens("SIGKILL", lambda: kill(signal.SIGKILL))
    never_opens("SIGTERM", lambda: kill(signal.SIGTERM))
    never_opens("a hang", hang)
    second = run("enforcer", "run")
    holds("a second one is refused", second.returncode == 1)
    holds("and told of the first", f"pid {shown('MainPID')}" in second.stderr)
    holds("systemctl stop", run("systemctl", "stop", "enforcer").returncode == 0)
    holds("stop: open", connects(DENIED))
    holds("stop: nothing left", ours_in_kernel() == "")
    holds("stop: it stays so", shown("ActiveState") == "inactive")
    run("systemctl", "start", "enforcer")
    holds("start: closed", closed())
    holds("off", run("enforcer", "off").returncode == 0)
    holds("off: open", connects(DENIED))
    holds("off: nothing left", ours_in_kernel() == "")
    holds("off: nothing for the next boot", not KEPT.exists())
    holds("off: it stays so", in_time(lambda: shown("ActiveState") == "inactive"))
    run("systemctl", "start", "enforcer")
    holds("something for the next boot", KEPT.exists())


def hang() -> None:
    """Stop the daemon where it stands, under a watchdog that is in more of a hurry."""
    folder = Path("/run/systemd/system/enforcer.service.d")
    folder.mkdir(parents=True)
    (folder / "hurry.conf").write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n", encoding="utf-8")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "enforcer")
    kill(signal.SIGSTOP)


def second() -> None:
    """A boot of a machine that enforces."""
    lines = [json.loads(line) for line in TRIED.read_text(encoding="utf-8").splitlines()]
    before = [line for line in lines if line["boot"] != boot()]
    lasted = before[-1]["at"] - max(
        line["at"] for line in before if line["open"] != before[-1]["open"]
    )
    print(f"scenario: {lasted:.1f} s from the last start to the end of the boot before")
    holds("shut down closed", lasted > 1)
    holds("it runs again", in_time(active))
    here = [line for line in lines if line["boot"] == boot()]
    ready = int(shown("ActiveEnterTimestampMonotonic")) / 1e6
    early = [line for line in here if line["at"] < ready]
    tried = early[-1]["tried"] if early else 0
    print(f"scenario: tried {tried} times in {ready - here[0]['since']:.1f} s until it was ready")
    holds("tried before it was ready", tried > 5)
    holds("never open in this boot", _last()["open"] == 0)
    holds("closed", closed())
    holds("a permitted name", in_time(lambda: connects(NAMED)))
    holds("healthy", in_time(lambda: status()["healthy"]))
    POLICY.write_text("hosts: [", encoding="utf-8")


def third() -> None:
    """A boot of one whose daemon can't start."""
    holds("failed", in_time(lambda: shown("ActiveState") == "failed"))
    holds("its status says why", "policy.yaml:1" in shown("StatusText"))
    holds("never open in this boot", _last()["open"] == 0)
    holds("closed", not connects(DENIED))
    found = run("enforcer", "status", "--json")
    holds("status: not running", found.returncode == 3)
    holds("status: enforcing", json.loads(found.stdout)["enforcing"])
    run("systemctl", "stop", "enforcer")
    holds("a stop of what failed changes nothing", not connects(DENIED))
    POLICY.write_text(TEXT, encoding="utf-8")
    run("systemctl", "start", "enforcer")
    holds("it starts once the policy is mended", active())
    run("systemctl", "disable", "enforcer")


def fourth() -> None:
    """A boot of one whose service is disabled, and the end of the package."""
    holds("disabled: inactive", shown("ActiveState") == "inactive")
    holds("disabled: open", connects(DENIED))
    holds("disabled: nothing loaded", ours_in_kernel() == "")
    run("systemctl", "enable", "--now", "enforcer")
    holds("enabled: closed", closed())
    kill(signal.SIGKILL)
    holds("purged", run("dpkg", "--purge", "enforcer").returncode == 0)
    holds("purge: open", connects(DENIED))
    holds("purge: nothing in the kernel", ours_in_kernel() == "")
    named = run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*enforcer*").stdout
    left = [line for line in named.splitlines() if "/scenario/" not in line]
    print("scenario: left", left)
    holds("purge: no file", left == [])
    holds("purge: no unit", shown("LoadState") == "not-found")


def status() -> dict[str, object]:
    """Return what `enforcer status --json` says."""
    found: dict[str, object] = json.loads(run("enforcer", "status", "--json").stdout or "{}")
    return found


def capabilities() -> str:
    """Return the capabilities of the daemon, by thread."""
    found = set()
    for task in Path(f"/proc/{shown('MainPID')}/task").iterdir():
        lines = (task / "status").read_text(encoding="utf-8").splitlines()
        found |= {line.split()[1] for line in lines if line.startswith("CapEff:")}
    return " ".join(sorted(found))


def main() -> None:
    """Do the stage that this boot is for; then boot for the next, or end."""
    stages = (first, second, third, fourth)
    number = int(STAGE.read_text(encoding="ascii")) if STAGE.exists() else 0
    print(f"scenario: boot {number + 1}: {stages[number].__doc__}", flush=True)
    try:
        stages[number]()
    except Exception:  # noqa: BLE001 - told, and the machine goes on to its end
        traceback.print_exc()
        holds(f"boot {number + 1} to its end", condition=False)
        run("journalctl", "--unit=enforcer", "--no-pager", "--lines=60")
    STAGE.write_text(str(number + 1), encoding="ascii")
    os.sync()
    last = number + 1 == len(stages)
    if last:
        print("scenario: done", flush=True)
    run("systemctl", "poweroff" if last else "reboot", "--no-block")


if __name__ == "__main__":
    main()
