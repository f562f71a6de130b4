"""What systemd says of the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.edge.runtime import DEFAULT_RUNTIME_DIR
from enforcer.edge.unit import UNIT, active_state


def test_systemd_is_asked_for_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its program; without one nobody knows, nor of another instance."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert active_state(DEFAULT_RUNTIME_DIR) == ""
    systemctl = tmp_path / "systemctl"
    asked = f"show --property=ActiveState --value {UNIT}"
    systemctl.write_text(f'#!/bin/sh\n[ "$*" = "{asked}" ] && echo failed\n')
    systemctl.chmod(0o755)
    assert active_state(DEFAULT_RUNTIME_DIR) == "failed"
    assert active_state(tmp_path) == ""
