"""Rootless containers are judged as the user whose process leads them out."""

from __future__ import annotations

import pytest

from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.rootless import HELPERS, NOBODY, attempt, program
from tests.lab.test_denials import told

pytestmark = pytest.mark.root

# As udev has it; a machine without udev leaves it to root.
_TUN = "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200"


@pytest.fixture(scope="module")
def tun(shared_lab: Lab) -> None:
    """Let anybody on the host make a tap device in a network of his own."""
    shared_lab.net.host.run("sh", "-ec", _TUN)


@pytest.fixture(params=[*HELPERS])
def helper(request: pytest.FixtureRequest, tun: None) -> str:  # noqa: ARG001
    """Return what leads out of the container."""
    name: str = request.param
    # Ubuntu has no pasta before 23.04.
    if name == "pasta" and program(name) is None:
        pytest.skip("there is no pasta: ./dev setup unpacks it")
    return name


@pytest.mark.usefixtures("enforcer")
def test_a_permitted_address_is_reached(shared_lab: Lab, helper: str) -> None:
    """As by any process of that user."""
    assert attempt(shared_lab.net.host, helper, ALLOWED.addresses[0]) == "connected"


def test_another_address_is_not_and_the_user_is_told(
    shared_lab: Lab, enforcer: Enforcer, helper: str
) -> None:
    """Nothing leaves, and the denial has the user and the process that led out."""
    shared_lab.sink.reset()
    assert attempt(shared_lab.net.host, helper, DENIED.addresses[0]) != "connected"
    assert shared_lab.sink.syns() == {}
    denials = told(enforcer, DENIED.addresses[0])
    assert {each["uid"] for each in denials} == {NOBODY}
    assert any(str(each["process"]).startswith(HELPERS[helper]) for each in denials)
