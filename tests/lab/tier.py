"""The tier that daemons of the lab are made to enforce in, by hiding what it lacks from them."""

from __future__ import annotations

import os

# Set by `./dev test --tier`.
VARIABLE = "ENFORCER_LAB_TIER"
HIDDEN = {
    "full": (),
    "stateless": ("nft-ct", "nft-ct-label"),
    "unlabelled": ("nft-ct-label",),
    "silent": ("nft-reject",),
    "unlogged": ("nft-log",),
    "uncounted": ("nft-counter",),
}
# What a tier does without, as a test may need it: see the marker `needs`.
LACKS = {
    "stateless": "ct",
    "unlabelled": "ct-label",
    "silent": "reject",
    "unlogged": "log",
    "uncounted": "counter",
}


def current() -> str:
    """Return the tier of all daemons that name none themselves."""
    return os.environ.get(VARIABLE, "full")


def lacking() -> frozenset[str]:
    """Return what the current tier does without."""
    return frozenset(LACKS[name] for name in current().split("+") if name in LACKS)


def options(tier: str) -> tuple[str, ...]:
    """Return the options of `enforcer run` that hide what *tier* lacks, several joined by `+`."""
    hidden = dict.fromkeys(check for name in tier.split("+") for check in HIDDEN[name])
    return ("--for-tests", *(option for check in hidden for option in ("--hide", check)))


def refused() -> tuple[type[OSError], ...]:
    """Return what a refused connection raises in the current tier, as `refusal` has it."""
    silent = (PermissionError, TimeoutError) if "reject" in lacking() else ()
    return (ConnectionRefusedError, *silent)


def refusals() -> tuple[str, ...]:
    """Return the names of the errors of a connection that is refused at once."""
    return ("ECONNREFUSED", "EPERM") if "reject" in lacking() else ("ECONNREFUSED",)


def is_note_of_tier(note: str) -> bool:
    """Tell whether *note* of status is about what a tier lacks."""
    return note.startswith(tuple(f"{name}: " for name in LACKS))


def refusal(outcome: str) -> str:
    """Return ECONNREFUSED for the *outcome* that a refused connection has in the current tier.

    Without reject the machine's own fail with EPERM, and those of containers time out.
    """
    silent = "reject" in lacking() and outcome in {"EPERM", "ETIMEDOUT"}
    return "ECONNREFUSED" if silent else outcome
