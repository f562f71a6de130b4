"""Which CPUs this machine has and may come to have, from sysfs."""

from __future__ import annotations

from pathlib import Path

SYSFS = Path("/sys/devices/system/cpu")


def online() -> tuple[int, ...]:
    """Return the CPUs that run now."""
    return parse((SYSFS / "online").read_text("ascii"))


def possible() -> tuple[int, ...]:
    """Return the CPUs that per-CPU maps have room for."""
    return parse((SYSFS / "possible").read_text("ascii"))


def parse(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``0-3,8`` (the kernel's cputopology.rst)."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)
