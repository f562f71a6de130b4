"""The hand-made messages of oddities.txt."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Odd:
    """A message with its story.

    Attributes:
        learned: what the kernel learns, as ``address#port/seconds``.
        opened: what user space opens.
    """

    story: str
    learned: str
    opened: str
    wire: bytes


def oddities() -> tuple[Odd, ...]:
    """Read them; the first block of the file says how it is written."""
    _, *blocks = (files(__package__) / "oddities.txt").read_text("utf-8").split("\n\n")
    return tuple(map(_parsed, blocks))


def _parsed(block: str) -> Odd:
    lines = block.split("\n")
    story = " ".join(line[2:] for line in lines if line.startswith("# "))
    kernel, user, *octets = (line for line in lines if not line.startswith("# "))
    wire = bytes.fromhex("".join(octets))
    return Odd(story, kernel.removeprefix("kernel "), user.removeprefix("user "), wire)
