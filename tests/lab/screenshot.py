"""The picture of `enforcer status` in the README: real output of a real daemon that denied.

Written anew only when it shows something else than numbers, addresses and moments that differ
from run to run.
"""

from __future__ import annotations

import html
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.lab.client import connect_to_answers
from tests.lab.connect import attempts
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab, new_lab
from tests.lab.pull import dockerd, skopeo
from tests.lab.registry import Registries, serving_registries
from tests.lab.screen import written
from tests.lab.wait import until

COLUMNS = 90
ZONE = "cdn.lab.test"
OTHERS = {"mirror.example": "198.18.40.1", "packages.example": "198.18.40.2"}
POLICY = f"""\
version: 1
organization: acme
hosts:
  - registry.allowed.test
  - "*.{ZONE}"
"""
PROMPT = "$ sudo enforcer status"
TOLD_WITHIN_S = 10
# Fetched from elsewhere otherwise, which no README may; the machine's own serves.
WEB_FONTS = re.compile(r"@font-face \{.*?\n    \}", re.DOTALL)
VARIES = re.compile(r"[0-9a-f:.+TZ-]*\d[0-9a-f:.+TZ-]*")


def denied(lab: Lab, registries: Registries) -> None:
    """Ask for what is not permitted, as people and programs do."""
    for name, address in OTHERS.items():
        lab.nameserver.add(name, address)
    host = lab.net.host
    with dockerd(host, registries.ca) as docker:
        assert docker.pull(registries.allowed.image).ok
        assert not docker.pull(registries.denied.image).ok
    for _ in range(3):
        assert not skopeo(host, registries.denied.image, registries.ca).ok
    attempts(host, "mirror.example")
    attempts(host, "packages.example", 8443)
    connect_to_answers(host, ZONE, family=4, count=40)


def screen(lab: Lab, enforcer: Enforcer) -> str:
    """Return what the command writes to a terminal."""
    text = written(lab.net.host, *enforcer.argv("status"), columns=COLUMNS)
    assert "enforcing, healthy" in text, text
    return text


def picture(text: str) -> str:
    """Return *text*, with its escape sequences, as SVG."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        highlight=False,
    )
    console.print(PROMPT)
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title="enforcer", unique_id="status")
    return WEB_FONTS.sub("", svg).replace("Fira Code, monospace", "monospace")


def shape(svg: str) -> list[str]:
    """Return what *svg* says, without what varies."""
    texts = (html.unescape(text) for text in re.findall(r">([^<]+)</text>", svg))
    return [" ".join(VARIES.sub("0", text).split()) for text in texts]


def taken() -> str:
    """Return the picture of a daemon that denied, in a lab of its own."""
    with new_lab() as lab, serving_registries(lab) as registries:
        lab.nameserver.fresh(ZONE)
        with running(lab.net, POLICY) as enforcer:
            denied(lab, registries)

            def all_told() -> bool:
                hosts = {each["host"] for each in enforcer.status()["denied"]["hosts"]}
                return hosts >= {registries.denied.name, *OTHERS}

            until(all_told, TOLD_WITHIN_S, "the denials")
            return picture(screen(lab, enforcer))


def keep(path: Path, svg: str) -> bool:
    """Write *svg* to *path*, unless what is there shows the same; return whether it was written."""
    if path.exists() and shape(path.read_text("utf-8")) == shape(svg):
        return False
    path.write_text(svg, encoding="utf-8")
    return True


def main() -> None:
    """Write the picture to the path that is the one argument."""
    path = Path(sys.argv[1])
    new = keep(path, taken())
    print(f"{path} is new: look at it" if new else f"{path} shows the same already")


if __name__ == "__main__":
    main()
