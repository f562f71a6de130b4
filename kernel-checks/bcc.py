"""BCC: the compiler and loader of the programs.

PyPI's "bcc" is another project (body-centred cubic lattices); ours comes from the distribution
and is known by its module ``libbcc``. Looked for, never imported: an import maps all of LLVM.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

from .result import Outcome, Result

ID = "bcc"

_DISTRIBUTION = Path("/usr/lib/python3/dist-packages")
_INSTALL = "apt install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"
_SHOW = "use /usr/bin/python3, or a venv made by it with --system-site-packages"
_VERSION = re.compile(r"""^__version__ = ['"]([^'"]+)['"]""", re.MULTILINE)


def check() -> Result:
    """Say whether ``import bcc`` would find BCC in this interpreter."""
    return judge(importlib.util.find_spec("bcc"))


def judge(
    spec: importlib.machinery.ModuleSpec | None, distribution: Path = _DISTRIBUTION
) -> Result:
    """Say what the module of that name is.

    Args:
        spec: of the module "bcc"; None if there is none.
        distribution: where the distribution's package puts its modules.
    """
    remedy = _SHOW if _is_bcc(distribution / "bcc") else _INSTALL
    if spec is None:
        return Result(ID, Outcome.UNSUPPORTED, f"no module bcc for {sys.executable}", remedy)
    for folder in map(Path, spec.submodule_search_locations or ()):
        if _is_bcc(folder):
            return Result(ID, Outcome.SUPPORTED, f"{_version(folder)} in {folder}")
    detail = f"{spec.origin} is not the BPF Compiler Collection but another project's bcc"
    return Result(ID, Outcome.UNSUPPORTED, detail, f"pip uninstall bcc, then: {remedy}")


def _is_bcc(folder: Path) -> bool:
    return (folder / "libbcc.py").is_file()


def _version(folder: Path) -> str:
    module = folder / "version.py"
    match = _VERSION.search(module.read_text()) if module.is_file() else None
    return match[1] if match else "unknown version"
