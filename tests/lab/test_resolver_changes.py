"""`resolvers: system` follows the machine's files at once; a list in the policy pins them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Less than the daemon waits before it looks of its own accord.
AT_ONCE_S = 3
OLD, NEW, OTHER = RESOLVERS[0], "10.77.0.9", "198.18.53.53"
FILE = "/etc/resolv.conf"
NEW_LINE = f"nameserver {NEW}"
CHANGES = {
    "written": f"echo {NEW_LINE} >{FILE}",
    "renamed": f"echo {NEW_LINE} >/etc/new && mv /etc/new {FILE}",
    "linked": f"mkdir /etc/wsl && echo {NEW_LINE} >/etc/wsl/r && ln -sf wsl/r {FILE}",
}


@pytest.fixture
def servers(lab: Lab) -> Iterator[Lab]:
    """Return a lab with more name servers than one, whose host has an /etc to change."""
    lab.net.world.ip(f"address add {NEW}/24 dev eth0")
    etc = lab.net.host.directory / "etc"
    lab.net.host.run("cp", "-a", "/etc", etc)
    lab.net.host.run("mount", "--bind", etc, "/etc")
    with lab.nameserver.serving(lab.net.world, NEW, OTHER):
        yield lab


def shell(host: Namespace, script: str) -> None:
    """Run *script* on *host*."""
    host.run("sh", "-c", script)


def reached(host: Namespace) -> tuple[str, ...]:
    """Return which of the name servers can be connected to."""
    found = {server: attempt(host, server, 53).outcome for server in (OLD, NEW, OTHER)}
    return tuple(server for server, outcome in found.items() if outcome == "connected")


@pytest.mark.parametrize("how", CHANGES)
def test_a_new_resolver_is_trusted_and_the_old_one_is_not(
    servers: Lab, policy: str, how: str
) -> None:
    """Its answers are learned, and port 53 of all others is denied."""
    host = servers.net.host
    assert reached(host) == (OLD, NEW, OTHER)
    with running(servers.net, policy) as enforcer:
        assert reached(host) == (OLD,)
        shell(host, CHANGES[how])
        until(lambda: reached(host) == (NEW,), AT_ONCE_S, "the new resolver")
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=50)
        assert (made.ok, made.refused, made.late) == (50, 0, 0)
        # The file that is there now is the one that is followed.
        shell(host, f"echo nameserver {OTHER} >{FILE}")
        until(lambda: reached(host) == (OTHER,), AT_ONCE_S, "the next resolver")
        assert enforcer.status()["resolvers"] == [OTHER]


def test_an_empty_file_keeps_the_resolvers(servers: Lab, policy: str) -> None:
    """Editors write it in two steps, and a list that stays empty is told."""
    host = servers.net.host
    with running(servers.net, policy) as enforcer:
        shell(host, f": >{FILE}")
        until(lambda: not enforcer.status()["healthy"], AT_ONCE_S, "the problem")
        assert reached(host) == (OLD,)
        shell(host, f"echo {NEW_LINE} >>{FILE}")
        until(lambda: reached(host) == (NEW,), AT_ONCE_S, "the new resolver")
        until(lambda: enforcer.status()["healthy"], AT_ONCE_S, "the problem's end")


def test_a_list_in_the_policy_pins_the_resolvers(servers: Lab, policy: str) -> None:
    """What the machine's files say is not even looked at, until the policy says `system`."""
    host = servers.net.host
    with running(servers.net, f"{policy}resolvers: [{OLD}]\n") as enforcer:
        shell(host, CHANGES["written"])
        host.ip("link add br-seen type bridge")

        def seen() -> bool:
            found = {each["name"]: each["programs"] for each in enforcer.status()["interfaces"]}
            return bool(found["br-seen"])

        until(seen, AT_ONCE_S, "a look at the machine")
        assert reached(host) == (OLD,)
        enforcer.reload(policy)
        assert reached(host) == (NEW,)
        shell(host, f"echo nameserver {OTHER} >{FILE}")
        until(lambda: reached(host) == (OTHER,), AT_ONCE_S, "the resolver of the file")
