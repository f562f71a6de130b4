"""What all levels of tests share: the rule for tests that need root."""

from __future__ import annotations

import os

import hypothesis
import pytest

# What an example takes is the machine's affair.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REQUIRE_ROOT = "ENFORCER_REQUIRE_ROOT"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root without it, or fail it where root was promised."""
    if item.get_closest_marker("root") is None or os.geteuid() == 0:
        return
    if os.environ.get(REQUIRE_ROOT) == "1":
        pytest.fail(f"needs root, and {REQUIRE_ROOT}=1 promises it", pytrace=False)
    pytest.skip("needs root")
