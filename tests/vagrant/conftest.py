"""The machines that the suite runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.vagrant.machine import MACHINES, Machine, up

_NAMES = os.environ.get(MACHINES, "").split()
# Virtual machines are for `./dev vagrant`: this is no part of `./dev test`.
collect_ignore_glob = [] if _NAMES else ["test_*.py"]


@pytest.fixture(scope="module", params=_NAMES)
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Return a machine with enforcer installed, one after the other for all tests."""
    with up(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made
