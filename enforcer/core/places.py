"""Where things are on a machine. Of its own, because commands name them before they do work."""

from __future__ import annotations

from typing import Final

DEFAULT_POLICY: Final = "/etc/enforcer/policy.yaml"
DEFAULT_STATE_DIR: Final = "/var/lib/enforcer"
# As many links on the way to one as the kernel follows (linux/namei.h, MAXSYMLINKS).
MAX_LINKS: Final = 40
