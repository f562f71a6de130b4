"""Two instances in two network namespaces do not disturb each other."""

from __future__ import annotations

import pytest

from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted, running
from tests.lab.footprint import footprint
from tests.lab.lab import Lab, new_lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Three rounds of the daemon's own look-around.
LOOKED_AGAIN_S = 15


def test_two_machines_side_by_side(lab: Lab, policy: str) -> None:
    """Each enforces its own policy, and goes on when the other stops."""
    opposite = policy.replace(ALLOWED.name, DENIED.name)
    with new_lab() as other, running(lab.net, policy) as one:
        other.nameserver.fresh(FRESH_ZONE)
        with running(other.net, opposite):
            for each, registry in ((lab, ALLOWED), (other, DENIED)):
                made = connect_to_answers(each.net.host, FRESH_ZONE, family=4, count=50)
                assert made.ok == 50
                outcomes = {
                    r: attempt(each.net.host, r.addresses[0]).outcome for r in (ALLOWED, DENIED)
                }
                refused = DENIED if registry is ALLOWED else ALLOWED
                assert outcomes == {registry: "connected", refused: "ECONNREFUSED"}
        made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=50, label="after")
        assert made.ok == 50
        assert one.status()["healthy"]
        assert attempt(other.net.host, ALLOWED.addresses[0]).outcome == "connected"


def test_two_that_share_a_cgroup_are_told_so(lab: Lab, policy: str) -> None:
    """Either may mark a socket first, with a nonce that the other's ruleset does not know."""
    with new_lab() as other, running(lab.net, policy) as one:
        assert one.status()["healthy"]
        second = Enforcer(other.net, policy)
        second.start("--cgroup", str(lab.net.cgroup))
        try:
            for each in (one, second):

                def told(each: Enforcer = each) -> bool:
                    hints = [problem["hint"] for problem in each.status()["problems"]]
                    return "give each a cgroup of its own with --cgroup" in hints

                until(told, LOOKED_AGAIN_S, "the other one to be seen")
            made = connect_to_answers(lab.net.host, FRESH_ZONE, family=4, count=50)
            assert made.ok == 50
        finally:
            second.stop()
        until(lambda: one.status()["healthy"], LOOKED_AGAIN_S, "health")


def test_a_runtime_directory_has_one_instance(lab: Lab, policy: str) -> None:
    """A second daemon refuses a live one's runtime directory and changes nothing."""
    with running(lab.net, policy) as first:
        before = footprint(lab.net)
        second = Enforcer(lab.net, policy)
        with pytest.raises(NotStarted) as refused:
            second.start()
        assert refused.value.status == 1
        assert str(first.process.pid) in refused.value.stderr
        assert str(first.runtime_dir) in refused.value.stderr
        assert footprint(lab.net) == before
        assert first.status()["healthy"]
