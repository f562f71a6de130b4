"""The tier: what enforcement is like with what the kernel lacks.

What passes is the same in all of them. Each has a name and says what is worse.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

FULL = "full"
STATELESS = "stateless"
SILENT = "silent"

# By what is missing. Without connections there are no labels on them.
_NAMES = {
    "nft-ct": STATELESS,
    "nft-ct-label": "unlabelled",
    "nft-reject": SILENT,
    "nft-log": "unlogged",
    "nflog": "unlogged",
    "nft-counter": "uncounted",
}
# With one of them gone the other is no use.
_IMPLIED = {"nft-ct-label": "nft-ct", "nflog": "nft-log"}
_JUDGING = "bpf-connect"
_ENDING = "sock-destroy"


@dataclass(frozen=True)
class Tier:
    """How enforcement works here.

    Attributes:
        name: ``full``, or what it is besides, joined by ``+``.
        worse: than in full, a line each.
    """

    name: str
    worse: tuple[str, ...] = ()


def decides(check: str) -> bool:
    """Tell whether the tier depends on *check*."""
    return check in _NAMES


def tier(missing: Collection[str]) -> Tier:
    """Return the tier of a machine on which the checks named in *missing* found nothing."""
    lacks = [c for c in _NAMES if c in missing and _IMPLIED.get(c) not in missing]
    if not lacks:
        return Tier(FULL)
    judging, ending = _JUDGING not in missing, _ENDING not in missing
    return Tier(
        "+".join(_NAMES[check] for check in lacks),
        tuple(_worse(check, judging=judging, ending=ending) for check in lacks),
    )


def _worse(check: str, *, judging: bool, ending: bool) -> str:
    if check == "nft-ct":
        ends = (
            "end on this machine, and go on in containers"
            if ending
            else "go on until they end by themselves"
        )
        return (
            "stateless: connections are not tracked, so what opens one is judged, and all of UDP,"
            " answers to UDP from outside too;"
            f" connections to hosts that a policy no longer permits {ends}"
        )
    if check == "nft-reject":
        if judging:
            return (
                "silent: a connection of this machine that is refused fails at once, with"
                " EPERM; one of a container times out"
            )
        return "silent: connections that are refused time out instead of failing at once"
    if check in {"nft-log", "nflog"}:
        told = "of this machine's own TCP only" if judging else "not at all"
        return f"unlogged: who was denied what is recorded {told}"
    if check == "nft-counter":
        return "uncounted: denied packets are not counted"
    return "unlabelled: what answers a forged source counts as a reply"
