"""What goes missing under a running daemon is put back, and what it lacks at the start follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enforcer.edge.cgroup import HOOKS, CgroupHook
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.tier import lacking
from tests.lab.topology import BRIDGE
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Eight rounds of the daemon's own look-around.
REPAIRED_WITHIN_S = 40


def is_closed(lab: Lab) -> bool:
    """Tell whether the registry that is not permitted is refused, and the other is not."""
    permitted, other = (attempt(lab.net.host, r.addresses[0]).outcome for r in (ALLOWED, DENIED))
    return (permitted, other) == ("connected", "ECONNREFUSED")


def repairs(status: dict[str, Any]) -> int:
    """Return how often something was put back, as *status* says."""
    return sum(each["times"] for each in status["repaired"])


def test_what_is_missing_is_shown_and_put_back(lab: Lab, policy: str) -> None:
    """The table, the filters of an interface, the cgroup program: told, then whole again."""
    with running(lab.net, policy) as enforcer:
        whole = footprint(lab.net)
        hooks = [CgroupHook(Path(lab.net.cgroup), program) for program in HOOKS]

        def detach() -> None:
            for hook in hooks:
                for program in hook.attached():
                    hook.detach(program)

        def run(command: str) -> Callable[[], object]:
            return lambda: lab.net.host.run(*command.split(), check=False)

        # What comes in is labelled at the most.
        chains = ("output",) if lacking() & {"ct", "ct-label"} else ("output", "input")
        for damage in (
            run("nft delete table inet enforcer"),
            *(run(f"nft delete chain inet enforcer {chain}") for chain in chains),
            run("tc qdisc del dev eth0 clsact"),
            run(f"tc qdisc del dev {BRIDGE} clsact"),
            detach,
        ):
            before = repairs(enforcer.status())

            def told(before: int = before) -> bool:
                status = enforcer.status()
                # The daemon may be faster than the question.
                return not status["healthy"] or repairs(status) > before

            damage()
            until(told, REPAIRED_WITHIN_S, "status to tell the damage")
            until(lambda: footprint(lab.net) == whole, REPAIRED_WITHIN_S, "the repair")
            until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")
            assert is_closed(lab)


def test_an_interface_that_takes_no_program_is_a_problem_of_its_own(lab: Lab, policy: str) -> None:
    """An ingress qdisc in place of clsact: told with the remedy, enforced all the same, healed.

    It ended the daemon at its start, or kept it from following anything else.
    """
    host = lab.net.host
    host.run("tc", "qdisc", "add", "dev", "eth0", "ingress")
    with running(lab.net, policy) as enforcer:
        status = enforcer.status()
        assert status["enforcing"]
        hints = {problem["hint"] for problem in status["problems"]}
        assert "remove it: tc qdisc del dev eth0 ingress" in hints
        programs = {each["name"]: each["programs"] for each in status["interfaces"]}
        assert programs[BRIDGE] == ["forward_mark"]
        assert is_closed(lab)  # by the daemon's own lookups
        host.run("tc", "qdisc", "del", "dev", "eth0", "ingress")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")

        def taken() -> bool:  # unless the daemon was there first
            swap = "qdisc del dev eth0 clsact\nqdisc add dev eth0 ingress\n"
            return host.run("tc", "-batch", "-", stdin=swap, check=False).returncode == 0

        until(taken, REPAIRED_WITHIN_S, "an ingress qdisc in place of clsact")
        until(lambda: not enforcer.status()["healthy"], REPAIRED_WITHIN_S, "the problem again")
    assert "ingress" in host.run("tc", "qdisc", "show", "dev", "eth0").stdout


def test_a_machine_without_a_resolver_starts_closed_and_follows(lab: Lab, policy: str) -> None:
    """Nobody to ask is no reason to be open; a resolver that comes later is followed."""
    with_resolvers = lab.net.host.resolv_conf.read_text()
    lab.net.host.resolv_conf.write_text("")
    with running(lab.net, policy) as enforcer:
        status = enforcer.status()
        assert status["enforcing"]
        assert any("name server" in problem["text"] for problem in status["problems"])
        refused = [attempt(lab.net.host, r.addresses[0]).outcome for r in (ALLOWED, DENIED)]
        assert refused == ["ECONNREFUSED", "ECONNREFUSED"]
        lab.net.host.resolv_conf.write_text(with_resolvers)
        until(lambda: is_closed(lab), REPAIRED_WITHIN_S, "the resolvers to be followed")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")


def test_an_uplink_that_is_gone_is_a_problem(lab: Lab, policy: str) -> None:
    """With the remedy, as long as it lasts: a machine that reaches nothing read healthy."""
    host = lab.net.host

    def problems() -> list[str]:
        return [problem["text"] for problem in enforcer.status()["problems"]]

    with running(lab.net, policy) as enforcer:
        host.ip("link set eth0 down")
        assert any("there is no uplink" in text for text in problems())
        done = enforcer.cli("status", check=False)
        assert done.returncode == 1
        assert "-> connect this machine: ip link; ip route" in done.stdout
        host.ip("link set eth0 up", "route replace default via 10.77.0.1")
        host.ip("address replace fd77::2/64 dev eth0 nodad", "route replace default via fd77::1")
        until(lambda: not problems(), REPAIRED_WITHIN_S, "health")
        resolvers = enforcer.status()["resolvers"]
        host.ip(*(f"route add unreachable {each} metric 1" for each in resolvers))
        until(lambda: any("no route leads to the resolvers" in t for t in problems()), 5, "word")


def test_a_failed_reload_stays_visible_until_a_good_one(lab: Lab, policy: str) -> None:
    """Who asks later sees that the file and what is in force differ."""
    with running(lab.net, policy) as enforcer:
        enforcer.policy_file.write_text("hosts: [")
        assert enforcer.cli("reload", check=False).returncode == 2
        problems = enforcer.status()["problems"]
        assert any("policy file is not in force" in problem["text"] for problem in problems)
        enforcer.policy_file.write_text(policy)
        enforcer.cli("reload")
        assert enforcer.status()["healthy"]


def test_one_instance_a_network_namespace(lab: Lab, policy: str) -> None:
    """Another runtime directory makes no second firewall, and takes none away."""
    with running(lab.net, policy) as first:
        before = footprint(lab.net)
        second = Enforcer(lab.net, policy, name="second")
        for command in (("run", "--policy", str(second.policy_file)), ("off",)):
            refused = second.cli(*command, check=False)
            assert refused.returncode == 1
            assert str(first.process.pid) in refused.stderr
            assert str(first.runtime_dir) in refused.stderr
        status = second.cli("status", check=False)
        assert (status.returncode, status.stdout) == (3, "")
        hint = f"enforcer --runtime-dir {first.runtime_dir} status"
        assert status.stderr.endswith(f"{first.runtime_dir} (hint: {hint})\n")
        assert footprint(lab.net) == before
        assert first.status()["healthy"]
        first.kill()
        assert "enforcing without the daemon" in second.cli("status", check=False).stdout


def test_off_without_anything_says_so(lab: Lab, policy: str) -> None:
    """Nothing to remove is told as that, and nothing is made."""
    enforcer = Enforcer(lab.net, policy)
    done = enforcer.cli("off", check=False)
    assert done.returncode == 3
    assert "nothing to remove" in done.stderr
    assert not enforcer.runtime_dir.exists()


def test_an_uplink_named_like_a_bridge_is_guarded(lab: Lab, policy: str) -> None:
    """The default route leads out, whatever its interface is called; also when that changes."""
    host = lab.net.host
    with running(lab.net, policy) as enforcer:
        host.ip("link set eth0 down", "link set eth0 name br-lan", "link set br-lan up")
        host.ip("route add default via 10.77.0.1", "address add fd77::2/64 dev br-lan nodad")
        until(lambda: is_closed(lab), REPAIRED_WITHIN_S, "the uplink to be followed")
        roles = {each["name"]: each["role"] for each in enforcer.status()["interfaces"]}
        assert (roles["br-lan"], roles["br-lab"]) == ("guarded", "exempt")
        until(lambda: enforcer.status()["healthy"], REPAIRED_WITHIN_S, "health")
