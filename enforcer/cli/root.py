"""What takes root."""

from __future__ import annotations

import os

from enforcer.errors import EnforcerError


class NotRoot(EnforcerError):
    """The kernel is root's."""


def require_root(what: str) -> None:
    """Refuse whoever is not root.

    Args:
        what: the command does, in words.

    Raises:
        NotRoot: somebody else is who calls.
    """
    if os.geteuid() != 0:
        raise NotRoot(f"{what} and needs root", hint="use sudo")
