"""From an audit to a policy: what a real pull needed is what is suggested, and is enough."""

from __future__ import annotations

import json

import pytest

from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.pull import dockerd, skopeo
from tests.lab.registry import ALLOWED, DENIED, GHCR, LAYERS, serving, serving_registries
from tests.lab.wait import until

pytestmark = pytest.mark.root

POLICY = "version: 1\norganization: lab\nmode: {mode}\n"
RECORDED_WITHIN_S = 10


@pytest.mark.needs("log")
def test_what_an_audit_suggests_is_enough_for_the_same_pull(lab: Lab) -> None:
    """By skopeo on the machine, by dockerd, and no more than they asked for."""
    host = lab.net.host
    with serving_registries(lab) as registries:
        with running(lab.net, POLICY.format(mode="audit")) as enforcer:

            def suggested() -> list[str]:
                done = enforcer.cli("policy", "suggest")
                return [line for line in done.stdout.splitlines() if not line.startswith("#")]

            assert suggested() == []
            assert skopeo(host, registries.denied.image, registries.ca).ok
            with dockerd(host, registries.ca) as docker:
                assert docker.pull(registries.denied.image).ok
            assert attempt(lab.net.container, DENIED.addresses[0], 22).outcome != "connected"
            until(
                lambda: "dockerd" in " ".join(suggested()), RECORDED_WITHIN_S, "what dockerd asked"
            )
            lines = suggested()
            found = json.loads(enforcer.cli("policy", "suggest", "--json").stdout)
        assert lines[0] == "hosts:"
        assert lines[1].startswith(f"  - host: {DENIED.name}  # ")
        assert (found["mode"], found["organization"]) == ("audit", "lab")
        assert {"skopeo", "dockerd"} <= set(found["hosts"][0]["processes"])
        assert found["hosts"][0]["ports"] == [22, 443]

        with running(lab.net, POLICY.format(mode="enforce") + "\n".join(lines)) as enforcer:
            assert skopeo(host, registries.denied.image, registries.ca).ok
            with dockerd(host, registries.ca) as docker:
                assert docker.pull(registries.denied.image).ok
            for address in ALLOWED.addresses:
                assert attempt(host, address).outcome == "ECONNREFUSED"


def test_a_registry_whose_layers_are_elsewhere_is_suggested_as_its_preset(lab: Lab) -> None:
    """As most are: a pull without the host of the layers stalls, and is told what it lacks."""
    host = lab.net.host
    for each in (GHCR, LAYERS):
        lab.nameserver.add(each.name, *each.addresses)
    with serving(lab, GHCR) as ca:
        with running(lab.net, POLICY.format(mode="audit")) as enforcer:
            assert skopeo(host, GHCR.image, ca).ok

            def suggested() -> str:
                done = enforcer.cli("policy", "suggest").stdout
                return done.partition("\n")[2] if LAYERS.name in done else ""

            lines = until(suggested, RECORDED_WITHIN_S, "the layers")
        assert lines == f"registries:\n  - ghcr  # {GHCR.name}, {LAYERS.name}\n"

        enforced = POLICY.format(mode="enforce")
        with running(lab.net, f"{enforced}hosts: [{GHCR.name}]\n") as enforcer:
            pull = skopeo(host, GHCR.image, ca)
            assert not pull.ok
            assert LAYERS.name in pull.message
            denied = {each["host"] for each in enforcer.status()["denied"]["hosts"]}
            assert denied == {LAYERS.name}
            explained = enforcer.cli("explain", GHCR.image, check=False)
            assert explained.returncode == 1
            assert f"  layers  denied   {LAYERS.name}\n" in explained.stdout
            assert f"under hosts:\n\n    - {LAYERS.name}\n" in explained.stdout
            enforcer.put_in_force(enforced + lines)
            assert skopeo(host, GHCR.image, ca).ok
            assert enforcer.cli("explain", GHCR.image).stdout.startswith("allowed: ")
