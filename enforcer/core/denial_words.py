"""What is told of a denial: a line for people, and a document for machines.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import datetime
from typing import Any

from enforcer.core.denials import Denial
from enforcer.core.owners import UNIT, Owner
from enforcer.core.policy import Mode
from enforcer.core.wording import printable

# IANA's keywords of protocol numbers, in lower case; of others the number is as good.
_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
# As docker ps has it.
_SHORT_ID = 12


def in_words(denial: Denial) -> str:
    """Return a line that begins with what was asked for and goes on with who asked."""
    organization = denial.verdict.organization
    verb = "would not be" if denial.verdict.mode is Mode.AUDIT else "is not"
    attempt, to = denial.attempt, denial.attempt.destination
    parts = [
        f"registry access to {attempt.host or to.address} {verb} allowed by {organization}'s policy"
    ]
    place = f"[{to.address}]" if to.address.version == 6 else str(to.address)  # noqa: PLR2004
    parts.append(f"{protocol(to.protocol)} to {place}{f':{to.port}' if to.port else ''}")
    parts += [who] if (who := _who(denial)) else []
    if denial.count > 1:
        seconds = round(denial.last - denial.first)
        parts.append(f"{denial.count} packets" + (f" in {seconds} s" if seconds else ""))
    return printable(": ".join((parts[0], ", ".join(parts[1:]))))


def _who(denial: Denial) -> str:
    attempt, details = denial.attempt, denial.details
    words = []
    if attempt.pid is not None:
        about = [f"pid {attempt.pid}"]
        about += [details.executable] if details.executable else []
        about += [f"uid {attempt.uid}"] if attempt.uid is not None else []
        words.append(f"by {details.process or 'a process'} ({', '.join(about)})")
    elif attempt.uid is not None:
        words.append(f"by uid {attempt.uid}")
    if details.owner is not None:
        words.append(f"of {_owner(details.owner)}")
    if attempt.source is not None:
        words.append(f"from {attempt.source} behind {attempt.interface}")
    return " ".join(words)


def _owner(owner: Owner) -> str:
    if owner.kind == UNIT:
        return owner.id
    what = "container" if owner.kind == "container" else f"{owner.kind} container"
    pod = f" of pod {owner.pod}" if owner.pod else ""
    return f"{what} {owner.id[:_SHORT_ID]}{pod}"


def as_document(denial: Denial) -> dict[str, Any]:
    """Return what there is to know of *denial*, with the line for people as `text`."""
    attempt, details, to = denial.attempt, denial.details, denial.attempt.destination
    owner = details.owner
    container = owner if owner is not None and owner.kind != UNIT else None
    return {
        "number": denial.number,
        "text": in_words(denial),
        "mode": denial.verdict.mode.value,
        "organization": denial.verdict.organization,
        "host": attempt.host or None,
        "address": str(to.address),
        "port": to.port or None,
        "protocol": protocol(to.protocol),
        "first": _timestamp(denial.first),
        "last": _timestamp(denial.last),
        "count": denial.count,
        "over": denial.over,
        "uid": attempt.uid,
        "pid": attempt.pid,
        "process": details.process or None,
        "executable": details.executable or None,
        "unit": owner.id if owner is not None and container is None else None,
        "container": container
        and {"runtime": container.kind, "id": container.id, "pod": container.pod or None},
        "source": None if attempt.source is None else str(attempt.source),
        "interface": attempt.interface or None,
    }


def protocol(number: int) -> str:
    """Return the keyword of an IP protocol, or its *number*."""
    return _PROTOCOLS.get(number, str(number))


def _timestamp(at: float) -> str:
    utc = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return utc.isoformat(timespec="milliseconds")
