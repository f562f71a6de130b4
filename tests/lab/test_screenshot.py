"""The picture in the README is of what `enforcer status` writes now."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.lab.screenshot import PROMPT, keep, picture, shape, taken

README_PICTURE = Path(__file__).parents[2] / "docs" / "status.svg"
SCREEN = "\x1b[1;32m ✓ enforcing, healthy \x1b[0m\npolicy   acme, {} hosts <&>\n"


def test_a_picture_says_what_the_screen_did_and_fetches_nothing() -> None:
    """Each line of it as text, in an image that shows without a network."""
    svg = picture(SCREEN.format(2))
    texts = ("".join(each.itertext()) for each in ET.fromstring(svg).iter())  # noqa: S314 - ours
    shown = " ".join(" ".join(texts).split())
    for words in (PROMPT, "✓ enforcing, healthy", "acme, 2 hosts <&>"):
        assert words in shown
    assert "url(" not in svg.replace("url(#", "")


def test_a_picture_is_new_only_if_it_says_something_else(tmp_path: Path) -> None:
    """Numbers alone differ from run to run."""
    path = tmp_path / "status.svg"
    assert keep(path, first := picture(SCREEN.format(2)))
    assert not keep(path, picture(SCREEN.format(17)))
    assert path.read_text("utf-8") == first
    assert keep(path, other := picture(SCREEN.format(2).replace("healthy", "with problems")))
    assert path.read_text("utf-8") == other


def said(svg: str) -> set[str]:
    """Return what *svg* says but for the kernel, which is whoever's made it."""
    texts = [text for text in shape(svg) if text]
    at = texts.index("kernel")
    return set(texts[:at] + texts[at + 2 :])


@pytest.mark.root
@pytest.mark.needs("ct", "reject", "log", "counter")
def test_the_picture_of_the_readme_is_of_this_version() -> None:
    """Whoever changes what status writes makes it anew, and looks at it: ./dev docs."""
    assert said(README_PICTURE.read_text("utf-8")) <= said(taken())
