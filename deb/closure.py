"""Copy what a distribution needs of this environment into another folder of packages."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from packaging.requirements import Requirement


def closure(name: str) -> set[str]:
    """Return the distributions that *name* declares it needs, and those that these need."""
    found: set[str] = set()
    pending = [name]
    while pending:
        for text in importlib.metadata.requires(pending.pop()) or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in found:
                found.add(requirement.name)
                pending.append(requirement.name)
    return found


def copy_closure(name: str, target: Path, but: Collection[str] = ()) -> None:
    """Copy what *name* needs to *target*, where what the system provides is seen too.

    Args:
        name: of a distribution.
        target: folder of packages.
        but: distributions that the system will provide.
    """
    for each in closure(name) - set(but):
        distribution = importlib.metadata.distribution(each)
        source = Path(str(distribution.locate_file("")))
        if not source.is_relative_to(sys.prefix):
            continue
        for file in distribution.files or ():
            # Programs of theirs, and what Python makes of the files by itself, stay here.
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file, target / file)
