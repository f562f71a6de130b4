"""The checks of what a package brings: nft and BCC."""

from __future__ import annotations

from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

import pytest

from enforcer.kernel_checks import bcc, nftables
from enforcer.kernel_checks.result import Outcome

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_nft_is_a_missing_package(tmp_path: Path) -> None:
    """Without nft the remedy is a package, not a kernel."""
    result = nftables.check(path=str(tmp_path))
    assert result.outcome is Outcome.UNSUPPORTED
    assert "apt install nftables" in (result.remedy or "")
    for expression in nftables.EXPRESSIONS:
        unknown = nftables.check_expression(expression, path=str(tmp_path))
        assert unknown.outcome is Outcome.INCONCLUSIVE


def test_bcc_is_known_by_its_library_module(tmp_path: Path) -> None:
    """BCC is found without being imported, and its version read."""
    package = tmp_path / "bcc"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit\n")
    (package / "libbcc.py").write_text("raise SystemExit\n")
    (package / "version.py").write_text("__version__ = '0.26.0'\n")
    result = bcc.judge(PathFinder.find_spec("bcc", [str(tmp_path)]))
    assert (result.outcome, result.detail) == (Outcome.SUPPORTED, f"0.26.0 in {package}")


@pytest.mark.parametrize("path", ["bcc/__init__.py", "bcc.py"])
def test_body_centred_cubic_lattices_are_not_bcc(tmp_path: Path, path: str) -> None:
    """PyPI's bcc imports without an error and can compile nothing."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("")
    result = bcc.judge(PathFinder.find_spec("bcc", [str(tmp_path)]), tmp_path / "distribution")
    assert result.outcome is Outcome.UNSUPPORTED
    assert "another project" in result.detail
    assert (result.remedy or "").startswith("pip uninstall bcc")
    assert "python3-bpfcc" in (result.remedy or "")


def test_missing_bcc_names_the_package(tmp_path: Path) -> None:
    """Nothing of that name anywhere: install the distribution's."""
    result = bcc.judge(None, tmp_path)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "apt install python3-bpfcc" in (result.remedy or "")


def test_hidden_bcc_names_the_interpreter(tmp_path: Path) -> None:
    """Installed but not for this interpreter: another package would not help."""
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "libbcc.py").write_text("")
    result = bcc.judge(None, tmp_path)
    assert result.outcome is Outcome.UNSUPPORTED
    assert "--system-site-packages" in (result.remedy or "")
    assert "apt install" not in (result.remedy or "")
