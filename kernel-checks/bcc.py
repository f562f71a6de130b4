"""BCC: the compiler and loader of the programs.

PyPI's "bcc" is another project (body-centred cubic lattices); ours comes from the distribution
and is known by its module ``libbcc``. Looked for, never imported: an import maps all of LLVM.
It wants the headers of a kernel (kheaders, CONFIG_IKHEADERS since Linux kernel commit 43d8ce9d65a5
(in v5.2), or a package of the distribution); enforcer brings stand-ins, so that none are needed.
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
    return judge(importlib.util.find_spec("bcc"), shim=_shim())


def _shim() -> Path | None:
    """Return where the stand-ins belong, in a checkout or an installed package."""
    beside = Path(__file__).resolve().parent.parent / "bpf"
    return beside / "shim" if beside.is_dir() else None


def judge(
    spec: importlib.machinery.ModuleSpec | None,
    distribution: Path = _DISTRIBUTION,
    shim: Path | None = None,
) -> Result:
    """Say what the module of that name is.

    Args:
        spec: of the module "bcc"; None if there is none.
        distribution: where the distribution's package puts its modules.
        shim: the stand-ins for the kernel's headers; None where enforcer is not beside.
    """
    remedy = _SHOW if _is_bcc(distribution / "bcc") else _INSTALL
    if spec is None:
        return Result(ID, Outcome.UNSUPPORTED, f"no module bcc for {sys.executable}", remedy)
    for folder in map(Path, spec.submodule_search_locations or ()):
        if _is_bcc(folder):
            detail = f"{_version(folder)} in {folder}"
            if shim is None:
                return Result(ID, Outcome.SUPPORTED, detail)
            if not shim.is_dir():
                missing = f"{detail}, but no stand-ins for the kernel's headers: no {shim}"
                return Result(ID, Outcome.UNSUPPORTED, missing, "install enforcer again")
            return Result(ID, Outcome.SUPPORTED, f"{detail}; needs no headers of the kernel")
    detail = f"{spec.origin} is not the BPF Compiler Collection but another project's bcc"
    return Result(ID, Outcome.UNSUPPORTED, detail, f"pip uninstall bcc, then: {remedy}")


def _is_bcc(folder: Path) -> bool:
    return (folder / "libbcc.py").is_file()


def _version(folder: Path) -> str:
    module = folder / "version.py"
    match = _VERSION.search(module.read_text()) if module.is_file() else None
    return match[1] if match else "unknown version"
