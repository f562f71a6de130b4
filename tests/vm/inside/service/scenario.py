"""What happens to a machine with the package, boot by boot; a line for each thing that holds.

Standard library only, like world.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import traceback
from pathlib import Path

from tests.vm.inside.service.look import (
    FAILED,
    active,
    capabilities,
    closed,
    healthy,
    holds,
    in_time,
    kill,
    last,
    never_opens,
    ours_in_kernel,
    reached_s,
    run,
    shown,
    status,
    tries,
)
from tests.vm.inside.service.world import DENIED, NAME, NAMED, boot, connects

STAGE = Path("/var/lib/scenario/stage")
PACKAGE = "/job/enforcer.deb"
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
    holds("healthy", healthy())
    said = "enforcing the policy of acme: 1 host"
    holds("its state in words", in_time(lambda: shown("StatusText") == said))
    print("scenario: capabilities", capabilities())
    never_opens("restart", lambda: run("systemctl", "restart", "enforcer"))
    never_opens("upgrade", lambda: run("dpkg", "--install", PACKAGE))
    holds("an upgrade keeps the policy", POLICY.read_text(encoding="utf-8") == TEXT)
    never_opens("SIGKILL", lambda: kill(signal.SIGKILL))
    never_opens("SIGTERM", lambda: kill(signal.SIGTERM))
    never_opens("a hang", lambda: kill(signal.SIGSTOP))
    said = run("journalctl", "--unit=enforcer", "--output=cat").stdout
    holds("a hang: ended by the watchdog", "Watchdog timeout" in said)
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


def second() -> None:
    """A boot of a machine that enforces."""
    lines = tries()
    before = [line for line in lines if line["boot"] != boot()]
    lasted = before[-1]["at"] - max(
        line["at"] for line in before if line["open"] != before[-1]["open"]
    )
    print(f"scenario: {lasted:.1f} s from the last start to the end of the boot before")
    holds("shut down closed", lasted > 1)
    holds("it runs again", in_time(active))
    here = [line for line in lines if line["boot"] == boot()]
    ready = reached_s("enforcer.service")
    steps = {
        "the early ruleset": reached_s("enforcer-early.service", "InactiveEnter"),
        "network-pre.target": reached_s("network-pre.target"),
        "a network": reached_s("world.service"),
        "the daemon": ready,
        "network-online.target": reached_s("network-online.target"),
        "docker": reached_s("docker.service"),
    }
    print("scenario:", ", ".join(f"{what} at {at:.1f} s" for what, at in steps.items()))
    holds("each step of the boot was done", all(steps.values()))
    holds("in this order", list(steps.values()) == sorted(steps.values()))
    holds("the early ruleset was loaded", shown("Result", "enforcer-early.service") == "success")
    early = [line for line in here if line["at"] < ready]
    tried = early[-1]["tried"] if early else 0
    print(f"scenario: tried {tried} times in {ready - here[0]['since']:.1f} s until it was ready")
    holds("tried before it was ready", tried > 5)
    holds("never open in this boot", last()["open"] == 0)
    holds("closed", closed())
    holds("a permitted name", in_time(lambda: connects(NAMED)))
    holds("healthy", healthy())
    POLICY.write_text("hosts: [", encoding="utf-8")


def third() -> None:
    """A boot of one whose daemon can't start."""
    holds("failed", in_time(lambda: shown("ActiveState") == "failed"))
    text = shown("StatusText")
    print("scenario:", text)
    holds("its status says why", "policy.yaml:1" in text)
    holds("it is not started again and again", shown("NRestarts") == "0")
    holds("never open in this boot", last()["open"] == 0)
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
    holds("removed", run("dpkg", "--remove", "enforcer").returncode == 0)
    holds("removed: open", connects(DENIED))
    holds("removed: nothing in the kernel", ours_in_kernel() == "")
    holds("installed again", run("dpkg", "--install", PACKAGE).returncode == 0)
    holds("installed again: it runs", in_time(active))
    holds("installed again: closed, as the policy says", in_time(closed))
    kill(signal.SIGKILL)
    holds("purged", run("dpkg", "--purge", "enforcer").returncode == 0)
    holds("purge: open", connects(DENIED))
    holds("purge: nothing in the kernel", ours_in_kernel() == "")
    named = run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*enforcer*").stdout
    print("scenario: left", named.split())
    holds("purge: no file", not named)
    holds("purge: no unit", shown("LoadState") == "not-found")


def main() -> None:
    """Do the stage that this boot is for; then boot for the next, or end."""
    stages = (first, second, third, fourth)
    number = int(STAGE.read_text(encoding="ascii")) if STAGE.exists() else 0
    print(f"scenario: boot {number + 1}: {stages[number].__doc__}", flush=True)
    try:
        journal = run("journalctl", "--boot", "--output=cat").stdout
        holds("no unit was left out of the boot", "ordering cycle" not in journal)
        stages[number]()
    except Exception:  # noqa: BLE001 - told, and the machine goes on to its end
        traceback.print_exc()
        holds(f"boot {number + 1} to its end", condition=False)
        run("journalctl", "--unit=enforcer", "--no-pager", "--lines=60")
    STAGE.write_text(str(number + 1), encoding="ascii")
    if number + 1 == len(stages):
        hand_over()
        run("systemctl", "poweroff", "--no-block")
    else:
        run("systemctl", "reboot", "--no-block")


def hand_over() -> None:
    """Leave the journal of all boots, and say whether everything held."""
    results = Path("/var/lib/scenario/results")
    results.mkdir()
    journal = run("journalctl", "--no-pager", "--output=short-monotonic").stdout
    (results / "journal").write_text(journal, encoding="utf-8")
    lines = [line for line in journal.splitlines() if " enforcer[" in line]
    refused = [line for line in lines if "Operation not permitted" in line]
    for line in refused[:5]:
        print("scenario:", line)
    holds("nothing was refused to the daemon", not refused)
    subprocess.run(("tar", "-C", results, "-cf", "/dev/vdc", "."), check=True)
    os.sync()
    print(f"begin: exit status {int(FAILED.exists())}", flush=True)


if __name__ == "__main__":
    main()
