"""The data files that are part of the core, such as the presets.

They are installed with the code and never change while it runs, so that
reading one is like importing a module: the core stays free of other I/O.
"""

from __future__ import annotations

import importlib.resources


def data_text(name: str, package: str = "enforcer.core") -> str:
    """Return the text of the data file *name* of *package*."""
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")
