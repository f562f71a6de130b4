"""`./dev deb`: build the Debian package into dist/."""

from __future__ import annotations

import sys
from pathlib import Path

from deb.build import build

CHECKOUT = Path(__file__).parents[1]


def main() -> int:
    """Build the package and say where it is."""
    print(build(CHECKOUT, CHECKOUT / "dist"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
