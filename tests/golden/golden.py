"""Comparing text with a file that a person has reviewed.

``ENFORCER_UPDATE_GOLDEN=1`` rewrites the files instead: the diff is the review.
"""

from __future__ import annotations

import os
from pathlib import Path

UPDATE = "ENFORCER_UPDATE_GOLDEN"


def assert_golden(path: Path, text: str) -> None:
    """Fail unless *text* is what the file *path* holds."""
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing: ./dev golden writes it"
    assert text == path.read_text(encoding="utf-8"), f"{path} differs: ./dev golden rewrites it"
