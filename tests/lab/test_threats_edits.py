"""Ways round, by another tool's hand: what it edits of ours is found, told and put back."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.lab.asking import is_open
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connected
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

# A round of the daemon's look-around, and what a busy machine adds to it.
REPAIRED_WITHIN_S = 15
PUT_BACK, OPENED = "is put back", f"somebody else opened {DENIED.addresses[0]} port 443"


class Edit(NamedTuple):
    """What is done to the table, what the log says of it, and what it would let out."""

    command: str
    told: str = PUT_BACK
    origin: str = "host"
    address: str = DENIED.addresses[0]


EDITS = {
    "a rule before ours": Edit("insert rule inet enforcer output accept"),
    "a rule for containers": Edit("insert rule inet enforcer forward accept", origin="container"),
    "no rules": Edit("flush chain inet enforcer output"),
    "no rules for containers": Edit("flush chain inet enforcer forward", origin="container"),
    "a rule deep inside": Edit(
        "insert rule inet enforcer destinations accept", address=DENIED.addresses[1]
    ),
    "a table that sleeps": Edit("add table inet enforcer { flags dormant; }"),
    "a network": Edit("add rule inet enforcer destinations ip daddr 198.18.0.0/24 accept"),
    "a network of IPv6": Edit(
        "add rule inet enforcer destinations ip6 daddr & ffff:ffff:: { 2001:db8::, fd00:: } accept",
        origin="container",
        address=DENIED.addresses[1],
    ),
    "an address": Edit(
        f"add element inet enforcer allow4 {{ {DENIED.addresses[0]} . 443 timeout 1h }}", OPENED
    ),
    "an address of IPv6": Edit(
        f"add element inet enforcer allow6 {{ {DENIED.addresses[1]} . 443 timeout 1h }}",
        f"somebody else opened {DENIED.addresses[1]} port 443",
        "container",
        DENIED.addresses[1],
    ),
}


def look(host: Namespace) -> None:
    """Have the daemon look around now: it does at any change of the network, and every 5 s."""
    host.ip("link add br-look type bridge", "link del br-look")


@pytest.mark.parametrize("how", EDITS)
def test_another_tool_that_edits(lab: Lab, policy: str, how: str) -> None:
    """A table that is there, with all its chains, and lets everything pass.

    Whether the chains were there was all that was looked at: an edited one stayed so.
    """
    edit, host = EDITS[how], lab.net.host
    origin: Namespace = getattr(lab.net, edit.origin)
    assert is_open(origin, edit.address)
    with running(lab.net, policy) as enforcer:
        assert not is_open(origin, edit.address)
        host.nft(edit.command)
        look(host)
        until(lambda: edit.told in enforcer.log, REPAIRED_WITHIN_S, "the log to tell")
        until(lambda: not is_open(origin, edit.address), REPAIRED_WITHIN_S, "the repair")
        assert is_open(host, ALLOWED.addresses[0])
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=20, label="after")
        assert (made.ok, made.refused) == (20, 0)
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")


SHOWN = {
    "a rule before ours": "chain output",
    "a rule for containers": "chain forward",
    "no rules for containers": "chain forward",
    "a rule deep inside": "chain destinations",
    "a table that sleeps": "the table itself",
    "a network": "chain destinations",
    "a network of IPv6": "chain destinations",
    "an address": DENIED.addresses[0],
    "an address of IPv6": DENIED.addresses[1],
}


@pytest.mark.parametrize("how", SHOWN)
def test_status_shows_an_edit_and_its_repair(shared_lab: Lab, enforcer: Enforcer, how: str) -> None:
    """Degraded while it lasts, by name; afterwards what was put back, and healthy.

    Only the log told: status said "enforcing, healthy" with everything open.
    """
    host = shared_lab.net.host

    def shown() -> bool:
        host.nft(EDITS[how].command)  # again: the daemon may have been faster than the question
        done = enforcer.cli("status", check=False)
        said = " ".join(done.stdout.split())
        return done.returncode == 1 and "problem somebody else" in said and SHOWN[how] in said

    until(shown, REPAIRED_WITHIN_S, "status to show the edit")
    until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "the repair")
    repaired = enforcer.status()["repaired"]
    assert any(SHOWN[how] in each["text"] for each in repaired)
    done = enforcer.cli("status")
    assert "put back" in " ".join(done.stdout.split())


LEFT_OPEN = {
    "no rules": "what nothing permits passes these chains of the nftables table: output",
    "no rules for containers": "nothing permits passes these chains of the nftables table: forward",
    "a table that sleeps": "what nothing permits passes these chains of the nftables table",
}


@pytest.mark.parametrize("how", [how for how in EDITS if not how.startswith("an address")])
def test_status_without_a_daemon_reads_the_rules(lab: Lab, policy: str, how: str) -> None:
    """What a dead daemon left is compared with what it had applied.

    A flushed chain read "still learning, still denying".
    """
    with running(lab.net, policy) as enforcer:
        enforcer.kill()
        assert "still denying" in enforcer.cli("status", check=False).stdout
        lab.net.host.nft(EDITS[how].command)
        done = enforcer.cli("status", check=False)
        said = " ".join(done.stdout.split())
        assert done.returncode == 3
        assert "still denying" not in said
        assert "somebody else changed the nftables table" in said
        assert SHOWN.get(how, "chain output") in said
        assert LEFT_OPEN.get(how, "") in said
        assert ("not enforcing" in said) == (how in LEFT_OPEN)


def test_addresses_that_another_tool_takes_away_come_back(lab: Lab, policy: str) -> None:
    """The kernel still knows what was learned: the next first connection opens it again."""
    host = lab.net.host
    with running(lab.net, policy):
        assert is_open(host, ALLOWED.addresses[0])
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=1, label="learned")
        assert made.ok == 1
        given = lab.nameserver.given[-1]
        host.nft("flush set inet enforcer allow4")
        assert is_open(host, given)


def test_what_began_in_an_open_moment_ends_with_it(lab: Lab, policy: str) -> None:
    """A connection that no ruleset judged is judged when there is one again.

    It went on: only those of the very first start were.
    """
    net = lab.net
    with running(net, policy):
        net.host.nft("insert rule inet enforcer output accept")
        with connected(net.host, net.world, DENIED.addresses[0], 9000) as (ours, theirs):
            theirs.settimeout(0.5)

            def ended() -> bool:
                try:
                    ours.sendall(b"x")
                    return not theirs.recv(1)
                except OSError:
                    return True

            assert not ended()
            look(net.host)
            until(ended, REPAIRED_WITHIN_S, "the end of the connection")


def test_changes_of_others_are_no_edit_of_ours(lab: Lab, policy: str) -> None:
    """Docker and firewalld have tables too: nothing is told, nothing is put back."""
    net = lab.net
    with running(net, policy) as enforcer:
        for number in range(3):
            net.host.nft(f"table inet lab_other {{ chain c{number} {{ }}; }}")
        made = connect_to_answers(net.host, FRESH_ZONE, family=4, count=50, label="beside")
        assert made.ok == 50
        net.host.nft("delete table inet lab_other")
        net.host.nft("insert rule inet enforcer output accept")
        look(net.host)
        # By then it has looked at all of it.
        until(lambda: PUT_BACK in enforcer.log, REPAIRED_WITHIN_S, "the one edit to be told")
        assert enforcer.log.count(PUT_BACK) == 1
        assert OPENED not in enforcer.log
