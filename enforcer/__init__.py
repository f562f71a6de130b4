"""Network-level registry access management for Linux VMs and WSL 2."""

from __future__ import annotations

__version__ = "0.1.0"
