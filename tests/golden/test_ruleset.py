"""The ruleset text, case by case, as nft reads it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from enforcer.core.elements import TimedElement
from enforcer.core.interfaces import DEFAULT_EXEMPT
from enforcer.core.policy import Mode
from enforcer.core.ruleset import FULL, Capabilities, compile_ruleset
from tests.golden.golden import assert_golden

GOLDEN = Path(__file__).parent / "ruleset"
_INTERVAL = 0x4  # NFT_SET_INTERVAL
_NAMELESS = (
    "for file in protocols services; do"
    " [ ! -e /etc/$file ] || mount --bind /dev/null /etc/$file || exit; done; "
)

# What each case differs in from the first.
FULL_CASE: dict[str, Any] = {
    "mode": Mode.ENFORCE,
    "networks": (ip_network("10.20.0.0/16"), ip_network("fd20::/64")),
    "resolvers": (ip_address("10.77.0.1"), ip_address("fd77::1")),
    "nonces": (0x5EED0001, 0x5EED0002),
    "probe": 0x5EED0003,
    "exempt": DEFAULT_EXEMPT,
    "uplinks": ("eth0",),
    "capabilities": FULL,
    "elements": (
        TimedElement(ip_address("2001:db8::443"), 443, 360_000, "*.pkg.dev, ghcr.io"),
        TimedElement(ip_address("198.18.0.9"), 5000, 90_500, "registry.corp.example"),
        TimedElement(ip_address("198.18.0.9"), 443, 360_000, ""),
    ),
}
CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "audit": {"mode": Mode.AUDIT},
    "audit-without-counter": {"mode": Mode.AUDIT, "capabilities": replace(FULL, counter=False)},
    "without-ct": {"capabilities": replace(FULL, ct=False)},
    "without-ct-label": {"capabilities": replace(FULL, ct_label=False)},
    "without-reject": {"capabilities": replace(FULL, reject=False)},
    "without-counter": {"capabilities": replace(FULL, counter=False)},
    "without-log": {"capabilities": replace(FULL, log=False)},
    "without-any-audit": {
        "mode": Mode.AUDIT,
        "capabilities": Capabilities(
            ct=False, ct_label=False, reject=False, counter=False, log=False
        ),
    },
    "boot": {"nonces": (), "elements": (), "replacing": False},
    "nothing-permitted": {"networks": (), "resolvers": (), "elements": ()},
    "networks-and-resolvers": {
        "networks": tuple(
            ip_network(text)
            for text in (
                "192.0.2.7/32",
                "10.20.128.0/17",
                "10.20.0.0/16",
                "10.21.0.0/16",
                "2001:db8:1::/48",
                "2001:db8::/48",
                "2001:db8:1:2::/64",
            )
        ),
        "resolvers": tuple(
            ip_address(text)
            for text in ("192.0.2.53", "10.77.0.1", "fe80::1%eth0", "2001:db8::53", "fe80::1%eth1")
        ),
        "elements": (),
    },
    "everything-permitted": {"networks": (ip_network("0.0.0.0/0"), ip_network("::/0"))},
    "one-exempt-interface": {"exempt": ("lo",)},
    "uplink-named-like-a-bridge": {"uplinks": ("br-lan", "docker0")},
}


@pytest.mark.parametrize("name", CASES)
def test_ruleset_is_as_reviewed(name: str) -> None:
    """Each case compiles to the text of its file."""
    assert_golden(GOLDEN / f"{name}.nft", compile_ruleset(**{**FULL_CASE, **CASES[name]}))


def test_every_file_has_a_case() -> None:
    """No reviewed file is left behind by a case that is gone."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_no_set_is_of_intervals(name: str) -> None:
    """The kernel fills those when packets have come to the chains: see core/networks.py."""
    unshare = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    text = (GOLDEN / f"{name}.nft").read_text(encoding="utf-8")
    argv = (*unshare, "nft", "-c", "--debug=netlink", "-f", "-")
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    flags = re.findall(r"^(?!inet )\S+ enforcer ([0-9a-f]+)", done.stdout, re.MULTILINE)
    assert flags
    assert not [each for each in flags if int(each, 16) & _INTERVAL]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("nameless", [False, True], ids=["with names", "without"])
def test_nft_accepts_the_ruleset(name: str, *, nameless: bool) -> None:
    """The kernel and nft take the text, also over the table it replaces.

    Also on a machine that has no names of protocols and ports: there nothing was enforced.
    """
    unshare = ("unshare", "-nm") if os.geteuid() == 0 else ("unshare", "-rnm")
    text = (GOLDEN / f"{name}.nft").read_text(encoding="utf-8")
    hide = _NAMELESS if nameless else ""
    for script in ("nft -c -f -", "nft -f - && nft list ruleset | nft -c -f -"):
        argv = (*unshare, "sh", "-c", hide + script)
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
