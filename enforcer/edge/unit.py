"""The service, as far as systemd knows of it."""

from __future__ import annotations

import subprocess  # noqa: TID251 - systemctl is a program
from pathlib import Path

from enforcer.edge.runtime import DEFAULT_RUNTIME_DIR  # noqa: TID251 - the service's

UNIT = "enforcer.service"
_TIMEOUT_S = 5


def active_state(runtime_dir: Path) -> str:
    """Return the unit's ActiveState, as systemctl(1) has it; empty where nobody knows.

    *activating* is also what waits to be started again, *failed* what nobody will start.

    Args:
        runtime_dir: of the instance in question; of others than the service's nobody knows.
    """
    if runtime_dir != DEFAULT_RUNTIME_DIR:
        return ""
    try:
        done = subprocess.run(
            ("systemctl", "show", "--property=ActiveState", "--value", UNIT),
            capture_output=True,
            check=False,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
