"""States of a machine that `enforcer status` tells, with a daemon each: exit status and words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.lab.conftest import POLICY
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.nameserver import Nameserver
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.states import DEGRADED, HEALTHY, NOT_RUNNING, becomes, is_healthy_again, said, shown
from tests.lab.topology import RESOLVERS

pytestmark = pytest.mark.root

NEIGHBOUR = """\
version: 1
organization: lab
hosts: [{host: neighbour.test, private: true}]
"""
# Another firewall, after which ours does not know the probes of the daemon.
UNKNOWN_PROBES = """
table inet lab_other {
  chain output {
    type filter hook output priority filter - 20
    meta priority set 0
  }
}
"""


@contextlib.contextmanager
def unplugged(lab: Lab) -> Iterator[None]:
    """Let no route lead anywhere."""
    lab.net.host.ip("link set eth0 down")
    try:
        yield
    finally:
        lab.net.host.ip(
            "link set eth0 up",
            "address add fd77::2/64 dev eth0 nodad",
            "route add default via 10.77.0.1",
            "route add default via fd77::1",
        )


@contextlib.contextmanager
def silence(lab: Lab) -> Iterator[None]:
    """Let the resolvers hear nothing."""
    lab.net.world.nft(
        "table inet lab_silent {\nchain silent {\ntype filter hook prerouting priority raw\n"
        "udp dport 53 drop\ntcp dport 53 drop\n}\n}"
    )
    try:
        yield
    finally:
        lab.net.world.nft("delete table inet lab_silent")


def test_never_started(shared_lab: Lab, policy: str) -> None:
    """Nothing is there, nothing is enforced."""
    done = shown(Enforcer(shared_lab.net, policy, "never"))
    assert said(done) == (NOT_RUNNING, "not enforcing: this machine may reach any address")
    assert "-> start it: systemctl start enforcer" in done.stdout


def test_where_no_route_leads_nothing_is_healthy_by_default(shared_lab: Lab, policy: str) -> None:
    """What can't be tried is not proved: that is said, until a route is there."""
    with contextlib.ExitStack() as stack:
        routes = stack.enter_context(contextlib.ExitStack())
        routes.enter_context(unplugged(shared_lab))
        enforcer = stack.enter_context(running(shared_lab.net, policy))
        done = shown(enforcer)
        assert said(done) == (DEGRADED, "enforcing, with problems")
        assert "nothing is proved of the ruleset: no route leads out" in done.stdout
        routes.close()
        is_healthy_again(enforcer)


@pytest.mark.needs("counter")
@pytest.mark.parametrize("resolvers", [RESOLVERS, ("127.0.0.1",)], ids=["connected", "local"])
def test_a_machine_without_a_default_route_is_healthy(lab: Lab, resolvers: tuple[str, ...]) -> None:
    """Its registries are connected directly; and a ruleset that fails is found out there too."""
    host, names = lab.net.host, Nameserver()
    names.add("neighbour.test", "10.77.0.1", "fd77::1")
    lab.nameserver.add("neighbour.test", "10.77.0.1", "fd77::1")
    host.ip("route del default via 10.77.0.1", "route del default via fd77::1")
    host.resolv_conf.write_text("".join(f"nameserver {each}\n" for each in resolvers))
    with names.serving(host, "127.0.0.1"), running(lab.net, NEIGHBOUR) as enforcer:
        is_healthy_again(enforcer)
        proof = enforcer.status()["proof"]["families"]
        tried = [(each["outcome"], each["accepted"]) for each in proof]
        assert tried == [("proved", "10.77.0.1 port 443"), ("proved", "fd77::1 port 443")]
        assert attempt(host, "10.77.0.1", 8443).outcome == "ECONNREFUSED"
        host.nft(UNKNOWN_PROBES)
        found = becomes(enforcer, DEGRADED, "IPv6: not proved", lambda: None)
        assert "IPv4: not proved" in found


def test_a_policy_with_a_problem(shared_lab: Lab) -> None:
    """It enforces, names the host that does not exist, and is not healthy."""
    with running(shared_lab.net, f"{POLICY}  - no-such-host.test\n") as enforcer:
        done = shown(enforcer)
        assert said(done) == (DEGRADED, "enforcing, with problems")
        assert "no-such-host.test can't be resolved" in done.stdout
        assert "-> " in done.stdout


def test_the_daemon_killed(shared_lab: Lab, policy: str) -> None:
    """What holds is read from the kernel; that nobody proves it any more is said."""
    with running(shared_lab.net, policy) as enforcer:
        alive = enforcer.status()
        enforcer.kill()
        done, dead = shown(enforcer), enforcer.status()
        assert said(done) == (
            NOT_RUNNING,
            "enforcing without the daemon: still learning, still denying",
        )
        assert "the daemon is not running" in done.stdout
        assert re.search(r"^proved +not without a daemon", done.stdout, re.MULTILINE)
        # But for what the programs count, whoever reads the document finds the same keys.
        assert dead.keys() == alive.keys() - {"learning"}
        assert attempt(shared_lab.net.host, DENIED.addresses[0]).outcome == "ECONNREFUSED"
        enforcer.cli("off")


def test_the_resolver_dead(shared_lab: Lab, policy: str) -> None:
    """It begins all the same, closed, and says whom it asked in vain."""
    with silence(shared_lab), running(shared_lab.net, policy) as enforcer:
        done = shown(enforcer)
        assert said(done) == (DEGRADED, "enforcing, with problems")
        assert f"{ALLOWED.name} can't be resolved" in done.stdout
        assert RESOLVERS[0] in done.stdout
        # The resolvers themselves are permitted: that much can be tried.
        pattern = r"^proved +IPv4, .* 10\.77\.0\.1 port 53 accepted"
        assert re.search(pattern, done.stdout, re.MULTILINE)


@pytest.mark.parametrize("tier", [None, "uncounted", "stateless+silent+unlogged+uncounted"])
def test_audit(shared_lab: Lab, policy: str, tier: str | None) -> None:
    """Healthy, in a mode that denies nothing, whatever the kernel lacks: the first line says it."""
    with running(shared_lab.net, f"{policy}mode: audit\n", tier=tier) as enforcer:
        done = shown(enforcer)
        assert said(done) == (
            HEALTHY,
            "audit: nothing is denied, what would be is counted",
        )
        assert re.search(r"^proved +IPv4, .* would be denied, ", done.stdout, re.MULTILINE)
        assert attempt(shared_lab.net.host, DENIED.addresses[0]).outcome == "connected"
