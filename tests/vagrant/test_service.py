"""The service on a machine of its own, from its first boot to its removal: in this order."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.registry import ALLOWED, DENIED, Registry
from tests.lab.wait import until
from tests.vagrant.machine import Machine

# A machine that is emulated takes its time.
_SOON_S = 1200
_POLICY = "/etc/enforcer/policy.yaml"


def pull(machine: Machine, registry: Registry) -> tuple[bool, str]:
    """Pull from *registry* with docker, having removed what is there; return whether, and text."""
    machine.run(f"docker rmi --force {registry.image}", check=False)
    done = machine.run(f"docker pull {registry.image}", check=False)
    return done.returncode == 0, done.stdout + done.stderr


def status(machine: Machine) -> dict[str, Any]:
    """Return `enforcer status --json`."""
    found: dict[str, Any] = json.loads(machine.run("enforcer status --json", check=False).stdout)
    return found


def started_us(machine: Machine, unit: str) -> int:
    """Return when *unit* became active, in microseconds since the boot."""
    show = f"systemctl show --property ActiveEnterTimestampMonotonic --value {unit}"
    return int(machine.run(show).stdout)


def is_active(machine: Machine, unit: str = "enforcer") -> bool:
    """Tell whether systemd says that *unit* runs."""
    return machine.run(f"systemctl is-active {unit}", check=False).stdout.strip() == "active"


def tables(machine: Machine) -> str:
    """Return the names of the nftables tables."""
    return machine.run("nft list tables").stdout


def test_the_service_is_up_after_a_boot_and_before_docker(machine: Machine) -> None:
    """Nothing has to be done after a boot, and no container runs before it enforces."""
    machine.restart()
    until(
        lambda: is_active(machine, "docker") and is_active(machine, "world"),
        _SOON_S,
        "docker and the world",
    )
    assert is_active(machine)
    # What systemd leaves out to break one could be any of its units.
    assert "ordering cycle" not in machine.run("journalctl --boot").stdout
    assert 0 < started_us(machine, "enforcer") < started_us(machine, "docker")


def test_it_is_healthy(machine: Machine) -> None:
    """`status` and `check` have nothing to say."""
    until(lambda: status(machine)["healthy"], _SOON_S, "health")
    assert status(machine)["enforcing"]
    assert machine.run("enforcer status", check=False).returncode == 0
    assert machine.run("enforcer check", check=False).returncode == 0


def test_a_permitted_registry_is_pulled_from(machine: Machine) -> None:
    """By docker, as a user would."""
    ok, text = pull(machine, ALLOWED)
    assert ok, text


def test_another_is_refused(machine: Machine) -> None:
    """By name and at once, and `denials` says who asked."""
    ok, text = pull(machine, DENIED)
    assert not ok
    assert "connection refused" in text
    assert DENIED.name in machine.run("enforcer denials").stdout


def test_a_reload_permits_it(machine: Machine) -> None:
    """A policy edited and reloaded by systemd is in force; one with mistakes is not."""
    before = machine.run(f"cat {_POLICY}").stdout
    machine.run(f"echo '  - {DENIED.name}' >>{_POLICY} && systemctl reload enforcer")
    ok, text = pull(machine, DENIED)
    assert ok, text
    machine.run(f"echo 'hosts: [' >>{_POLICY}")
    assert machine.run("systemctl reload enforcer", check=False).returncode != 0
    assert pull(machine, DENIED)[0]
    machine.run(f"cat >{_POLICY} <<'END'\n{before}END\nsystemctl reload enforcer")
    assert not pull(machine, DENIED)[0]


def test_a_killed_daemon_leaves_it_closed_and_comes_back(machine: Machine) -> None:
    """The kernel denies meanwhile, and systemd starts another."""
    pid = status(machine)["daemon"]["pid"]
    machine.run(f"kill -KILL {pid}")
    ok, text = pull(machine, DENIED)
    assert not ok
    assert "connection refused" in text

    def is_back() -> bool:
        daemon = status(machine)["daemon"]
        return bool(daemon["running"]) and daemon["pid"] != pid

    until(is_back, _SOON_S, "another daemon")
    assert pull(machine, ALLOWED)[0]


def test_a_kernel_that_is_too_old_is_refused(machine: Machine) -> None:
    """The unit fails with 4 and stays so: starting it again would change nothing."""
    unit = "/run/systemd/system/enforcer.service.d"
    machine.run(
        # It is the personality that makes the kernel look old.
        f"systemctl stop enforcer && mkdir -p {unit} && printf '[Service]\\nLockPersonality=no\\n"
        f"ExecStart=\\nExecStart=setarch --uname-2.6 enforcer run\\n' >{unit}/old.conf"
        " && systemctl daemon-reload"
    )
    try:
        assert machine.run("systemctl start enforcer", check=False).returncode != 0
        show = "systemctl show --property ExecMainStatus --value enforcer"
        assert machine.run(show).stdout.strip() == "4"
        assert "5.4 or newer" in machine.run("journalctl --unit enforcer --lines 20").stdout
    finally:
        machine.run(f"rm -r {unit} && systemctl daemon-reload && systemctl reset-failed enforcer")
        machine.run("systemctl start enforcer")
    assert is_active(machine)


def test_a_stop_opens_the_machine(machine: Machine) -> None:
    """So what was refused was refused by nothing else."""
    assert "inet enforcer" in tables(machine)
    machine.run("systemctl stop enforcer")
    assert "inet enforcer" not in tables(machine)
    ok, text = pull(machine, DENIED)
    assert ok, text


def test_what_is_removed_leaves_nothing(machine: Machine) -> None:
    """As the README removes it: nothing in the kernel, and nothing after a boot."""
    machine.run("systemctl start enforcer")
    machine.run(
        "systemctl disable --now enforcer; enforcer off; rm -r /opt/enforcer /etc/enforcer "
        "/var/lib/enforcer /usr/local/bin/enforcer /etc/systemd/system/enforcer*.service; "
        "systemctl daemon-reload"
    )
    assert "inet enforcer" not in tables(machine)
    assert machine.run("tc filter show dev world0 ingress").stdout == ""
    assert machine.run("find /sys/fs/bpf -mindepth 1").stdout == ""
    machine.restart()
    assert "inet enforcer" not in tables(machine)
