"""What all levels of tests share: the rule for tests that need root."""

from __future__ import annotations

import os

import pytest

REQUIRE_ROOT = "ENFORCER_REQUIRE_ROOT"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root without it, or fail it where root was promised."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    if os.environ.get(REQUIRE_ROOT) == "1":
        pytest.fail(f"needs root, and {REQUIRE_ROOT}=1 promises it", pytrace=False)
    pytest.skip("needs root")
