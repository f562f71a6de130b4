"""The lab itself: without a firewall everything works, so a denial means something."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import cgroup, leftovers
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt, attempts
from tests.lab.footprint import footprint
from tests.lab.lab import Lab, new_lab
from tests.lab.nameserver import Nameserver
from tests.lab.pull import dockerd, skopeo
from tests.lab.registry import ALLOWED, Registries
from tests.lab.tier import refusal
from tests.lab.wait import until

pytestmark = pytest.mark.root

_DIES = """
import os, signal
from tests.lab.lab import new_lab
with new_lab() as lab:
    lab.net.host.popen("sleep", "infinity")
    print(lab.net.name, lab.net.host.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_both_registries_can_be_pulled_from(shared_lab: Lab, registries: Registries) -> None:
    """With no firewall skopeo and dockerd pull from either registry."""
    with dockerd(shared_lab.net.host, registries.ca) as docker:
        for registry in (registries.allowed, registries.denied):
            for pull in (
                skopeo(shared_lab.net.host, registry.image, registries.ca),
                docker.pull(registry.image),
            ):
                assert pull.ok, pull.message


@pytest.mark.parametrize("where", ["host", "container"])
@pytest.mark.parametrize("address", ["198.18.7.7", "2001:db8::7"])
def test_every_address_of_the_world_answers(shared_lab: Lab, where: str, address: str) -> None:
    """Any address accepts connections, from the host and from behind its bridge."""
    assert attempt(getattr(shared_lab.net, where), address).outcome == "connected"


@pytest.mark.parametrize("family", [4, 6])
def test_fresh_addresses_are_never_repeated(lab: Lab, family: int) -> None:
    """Each answer of a fresh zone has another address, and each gets exactly one SYN."""
    made = connect_to_answers(lab.net.host, FRESH_ZONE, family=family, count=300)
    assert made.ok == 300
    assert len(set(lab.nameserver.given)) == 300
    assert lab.sink.syns() == dict.fromkeys(((a, 443) for a in lab.nameserver.given), 1)


def test_repeated_syns_are_counted(lab: Lab) -> None:
    """A SYN that has to be sent again shows in the count at the server's side."""
    lab.net.world.nft(
        "table inet lossy {\n chain input {\n  type filter hook input priority 0\n"
        "  tcp flags & (syn | ack) == syn limit rate over 1/minute burst 1 packets drop\n }\n}\n"
    )
    assert attempt(lab.net.host, "198.18.7.7").outcome == "connected"
    assert attempt(lab.net.host, "198.18.7.8").outcome == refusal("ETIMEDOUT")
    counted = lab.sink.syns()
    assert counted["198.18.7.7", 443] == 1
    assert counted["198.18.7.8", 443] > 1


def test_names_resolve_as_told(lab: Lab) -> None:
    """Records, aliases, failures and silence reach a program on the host, over UDP and TCP."""
    server = lab.nameserver
    server.add("both.test", "198.18.3.1", "2001:db8::3:1")
    server.alias("alias.test", "both.test")
    server.add("long.test", *(f"198.18.4.{n}" for n in range(200)))
    server.fail("broken.test")
    addresses = {a.address for a in attempts(lab.net.host, "alias.test")}
    assert addresses == {"198.18.3.1", "2001:db8::3:1"}
    assert len(attempts(lab.net.host, "long.test")) == 200
    assert "failure in name resolution" in attempt(lab.net.host, "broken.test").outcome
    assert "not known" in attempt(lab.net.host, "absent.test").outcome
    server.remove("both.test")
    assert "not known" in attempt(lab.net.host, "both.test").outcome
    assert server.queries["alias.test", "AAAA"] == 1


@pytest.mark.parametrize("address", ["198.18.255.53", "2001:db8::53"])
def test_another_name_server_may_lie(lab: Lab, address: str) -> None:
    """A second server on any address of the world answers whom it is asked by, as it likes."""
    liar = Nameserver()
    liar.add(ALLOWED.name, "198.18.66.6")
    with liar.serving(lab.net.world, address):
        lab.net.host.resolv_conf.write_text(f"nameserver {address}\n")
        assert attempt(lab.net.host, ALLOWED.name).address == "198.18.66.6"


def test_hosts_file_is_the_namespaces_own(lab: Lab) -> None:
    """An entry in the lab's hosts file counts on the lab's host only."""
    with lab.net.host.hosts_file.open("a") as file:
        file.write("198.18.5.5 pinned.test\n")
    assert attempt(lab.net.host, "pinned.test").address == "198.18.5.5"
    assert "not known" in attempt(lab.net.container, "pinned.test").outcome
    assert "pinned.test" not in Path("/etc/hosts").read_text()


def test_labs_do_not_meet() -> None:
    """Two labs with the same addresses work side by side, each with its own name server."""
    with new_lab() as one, new_lab() as other:
        one.nameserver.add("where.test", "198.18.1.1")
        other.nameserver.add("where.test", "198.18.2.2")
        assert attempt(one.net.host, "where.test").address == "198.18.1.1"
        assert attempt(other.net.host, "where.test").address == "198.18.2.2"
        assert ("198.18.2.2", 443) not in one.sink.syns()


def test_nothing_is_left_of_a_lab() -> None:
    """Its end removes processes, namespaces, cgroups and files."""
    with new_lab() as lab:
        name, pid = lab.net.name, lab.net.host.pid
        sleeper = lab.net.host.popen("sleep", "infinity")
        assert footprint(lab.net)
    assert sleeper.wait(5) == -signal.SIGKILL
    _require_gone(name, pid)


def test_nothing_is_left_of_a_lab_whose_process_was_killed() -> None:
    """A lab ends at once with the process that made it, whatever else was running in it."""
    died = subprocess.run(
        (sys.executable, "-c", _DIES),
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    name, pid = died.stdout.split()
    until(lambda: not (leftovers.LABS / name).exists(), 10, "the guard to have cleaned up")
    _require_gone(name, int(pid))


def test_a_lab_without_its_guard_is_removed_by_the_next(lab: Lab) -> None:
    """Leftovers of a dead process are removed at the next start; those of a live one stay."""
    dead, group = leftovers.LABS / "enf0-dead", cgroup.mount_point() / "enf0-dead"
    dead.mkdir()
    group.mkdir()
    assert leftovers.reap() == ("enf0-dead",)
    assert not dead.exists()
    assert not group.exists()
    assert attempt(lab.net.host, "198.18.7.7").outcome == "connected"


def _require_gone(name: str, pid: int) -> None:
    assert not (leftovers.LABS / name).exists()
    assert not (cgroup.mount_point() / name).exists()
    stat = Path(f"/proc/{pid}/stat")
    # A zombie that nobody has waited for yet holds no namespaces.
    assert not stat.exists() or ") Z " in stat.read_text()
