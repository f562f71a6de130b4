"""Proof: what probes of the ruleset show it to do.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from enforcer.core.addresses import Address
from enforcer.core.policy import Mode
from enforcer.core.probes import Fate, Sent

# Whatever was proved holds for so long; it is proved anew several times meanwhile.
PROVED_FOR_S = 20.0
FAMILIES = {4: "IPv4", 6: "IPv6"}


class Outcome(Enum):
    """What a probe showed."""

    PROVED = "proved"
    FAILED = "failed"  # the opposite is proved
    UNPROVED = "unproved"
    NO_ROUTE = "no route"  # nothing can leave that way


@dataclass(frozen=True)
class Shown:
    """What one probe showed, and why it showed no more; empty if it is proved."""

    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class FamilyProof:
    """What is shown of one address family.

    Attributes:
        version: 4 or 6.
        denied: the address that is denied, or was judged to be in audit mode.
        accepted: the permitted address and port that is accepted; None where nothing is
            permitted yet that could be tried.
        why: it is not proved.
    """

    version: int
    outcome: Outcome
    denied: Address | None = None
    accepted: tuple[Address, int] | None = None
    why: str = ""

    @property
    def family(self) -> str:
        """The name of the family."""
        return FAMILIES[self.version]


def denial(address: Address, sent: Sent, *, judged: bool | None, exempt: bool, mode: Mode) -> Shown:
    """Return what a probe to *address* shows, which nothing permits.

    Args:
        address: the probe's.
        sent: what became of it.
        judged: our last chain saw it; None where that can't be told.
        exempt: it would have left by an interface whose traffic is not judged.
        mode: of the ruleset.
    """
    if sent.fate not in {Fate.STOPPED, Fate.PASSED}:
        return _untold(address, sent)
    stopped = sent.fate is Fate.STOPPED
    if judged is None:  # without counters what is stopped is, unless we stop nothing
        judged = stopped and mode is Mode.ENFORCE
    if judged and (stopped or mode is Mode.AUDIT):
        return Shown(Outcome.PROVED)
    if stopped:
        return Shown(Outcome.UNPROVED, f"something else than the ruleset denies {address}")
    return _accepted(address, sent, exempt=exempt)


def _accepted(address: Address, sent: Sent, *, exempt: bool) -> Shown:
    if sent.to != address:
        return Shown(Outcome.UNPROVED, f"{address} is translated to {sent.to}")
    if exempt:
        return Shown(Outcome.UNPROVED, f"{address} is behind an exempt interface")
    return Shown(Outcome.FAILED, f"{address} is accepted, and nothing permits it")


def acceptance(address: Address, port: int, sent: Sent, *, judged: bool | None) -> Shown:
    """Return what a probe to *port* of *address* shows, which is permitted.

    Args:
        address: the probe's.
        port: likewise.
        sent: what became of it.
        judged: our last chain saw it; None where that can't be told.
    """
    if sent.fate is Fate.PASSED and not judged:
        return Shown(Outcome.PROVED)
    if judged or (sent.fate is Fate.STOPPED and judged is None):
        return Shown(Outcome.FAILED, f"{address} port {port} is denied, and the policy permits it")
    if sent.fate is Fate.STOPPED:
        why = f"something else than the ruleset denies {address} port {port}, which is permitted"
        return Shown(Outcome.UNPROVED, why)
    return _untold(address, sent)


def _untold(address: Address, sent: Sent) -> Shown:
    if sent.fate is Fate.NO_ROUTE:
        return Shown(Outcome.NO_ROUTE, f"no route leads to {address}: {sent.error}")
    return Shown(
        Outcome.UNPROVED, f"what became of a packet to {address} is not known: {sent.error}"
    )
