"""Rootless containers are judged as the user whose process leads them out."""

from __future__ import annotations

import shutil

import pytest

from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.rootless import HELPERS, NOBODY, attempt
from tests.lab.test_denials import told

pytestmark = pytest.mark.root


@pytest.fixture(params=[*HELPERS])
def helper(request: pytest.FixtureRequest) -> str:
    """Return what leads out of the container."""
    name: str = request.param
    # Ubuntu has no pasta before 23.04.
    if name == "pasta" and shutil.which(name) is None:
        pytest.skip("there is no pasta: apt install passt")
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
