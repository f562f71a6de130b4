"""`enforcer explain`: what is said is what happens on this machine."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from enforcer.core.presets import presets
from enforcer.edge.client import request
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt, attempts
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED, IMAGE
from tests.unit.test_explain import IMAGES

pytestmark = pytest.mark.root

# ghcr's API alone: its layers come from another host.
POLICY = f"""\
version: 1
organization: lab
registries: [gcr]
hosts:
  - {ALLOWED.name}
  - "*.{FRESH_ZONE}"
  - ghcr.io
"""


def explained(enforcer: Enforcer, target: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the document of `explain`."""
    done = enforcer.cli("explain", target, "--json", *options, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def test_an_image_of_the_permitted_registry_is_allowed(enforcer: Enforcer) -> None:
    """By the entry that names it; and the registry answers."""
    status, found = explained(enforcer, f"{ALLOWED.name}/{IMAGE}")
    [host] = found["hosts"]
    assert (status, found["allowed"]) == (0, True)
    assert host["entry"] == {"text": ALLOWED.name, "origin": "hosts"}
    assert host["reached"] == "answers"
    assert set(host["addresses"]) == set(ALLOWED.addresses)


def test_an_image_of_another_registry_is_denied(enforcer: Enforcer) -> None:
    """With the line that would permit it."""
    status, found = explained(enforcer, f"{DENIED.name}/{IMAGE}")
    [host] = found["hosts"]
    assert (status, found["allowed"], host["reached"]) == (1, False, None)
    assert found["add"] == [f"  - {DENIED.name}"]


def test_an_allowed_registry_whose_layers_are_denied_is_told(enforcer: Enforcer) -> None:
    """The pull would begin and stall: the text names the host to add, not the whole preset."""
    done = enforcer.cli("explain", "ghcr.io/a/b:1", "--no-connect", check=False)
    assert done.returncode == 1
    assert "  layers  denied   pkg-containers.githubusercontent.com\n" in done.stdout
    assert "To allow it, the policy needs under hosts:" in done.stdout
    assert "  - pkg-containers.githubusercontent.com\n" in done.stdout
    assert "  - ghcr.io\n" not in done.stdout


def test_a_permitted_host_that_does_not_exist_is_told(enforcer: Enforcer) -> None:
    """Allowed, but nothing that the firewall could open."""
    status, found = explained(enforcer, "eu.gcr.io/a/b")
    assert (status, found["registry"], found["hosts"][0]["reached"]) == (
        0,
        "gcr",
        "does not resolve",
    )


@pytest.mark.parametrize("address", ALLOWED.addresses)
def test_an_open_address_is_explained_by_its_name(
    shared_lab: Lab, enforcer: Enforcer, address: str
) -> None:
    """On the port that is open, as a connection shows; on another it is denied, as is that."""
    shown = f"[{address}]" if ":" in address else address
    for port, status, outcome in ((443, 0, "connected"), (8443, 1, "ECONNREFUSED")):
        got, found = explained(enforcer, f"{shown}:{port}")
        assert (got, attempt(shared_lab.net.host, address, port=port).outcome) == (status, outcome)
        assert found["names"] == ([ALLOWED.name] if status == 0 else [])
        assert (ALLOWED.name in found["note"]) == (status == 1)


@pytest.mark.parametrize("address", DENIED.addresses)
def test_an_address_of_a_name_that_is_not_permitted_is_explained_by_it(
    shared_lab: Lab, enforcer: Enforcer, address: str
) -> None:
    """The name that somebody asked for, which opened nothing."""
    attempts(shared_lab.net.host, DENIED.name)
    done = enforcer.cli("explain", address, check=False)
    assert done.returncode == 1
    assert f"answered lately for {DENIED.name}\n" in done.stdout


def test_an_address_that_nobody_answered_with_is_denied(enforcer: Enforcer) -> None:
    """With the reason in words."""
    done = enforcer.cli("explain", "198.18.66.9", check=False)
    assert done.returncode == 1
    assert "answered lately" not in done.stdout
    assert "only what a trusted resolver answers for a permitted name is open" in done.stdout


def test_what_is_no_target_is_one_error(enforcer: Enforcer) -> None:
    """On standard error, with what to write."""
    done = enforcer.cli("explain", "Not/An Image", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no image" in done.stderr
    assert "hint: " in done.stderr


def test_every_preset_is_explained_by_a_daemon(lab: Lab) -> None:
    """An image of each is denied, with what to add; with all of that added, each is allowed."""
    images = {preset: image for preset, image in IMAGES.items() if preset in presets()}
    assert images.keys() == presets().keys()
    lines: list[str] = []

    def asked(image: str) -> dict[str, Any]:
        socket = enforcer.runtime_dir / "control.sock"
        answer: dict[str, Any] = request("GET", socket, f"/explain?target={quote(image, safe='')}")
        return answer

    empty = "version: 1\norganization: lab\n"
    with running(lab.net, empty) as enforcer:
        for preset, image in images.items():
            found = asked(image)
            assert (found["allowed"], found["registry"]) == (False, preset)
            assert not any(host["allowed"] for host in found["hosts"])
            lines += found["add"] if not lines else found["add"][1:]
        enforcer.put_in_force(empty + "\n".join(lines) + "\n")
        for preset, image in images.items():
            found = asked(image)
            assert found["allowed"], found
            origins = [host["entry"]["origin"].split(", ") for host in found["hosts"]]
            assert all(preset in origin for origin in origins)
            assert found["add"] == []
