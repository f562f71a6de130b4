"""Host name patterns: an exact name, or `*.` and everything below a name.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import dns.name
import idna

from enforcer.core.faults import Fault, Faulty
from enforcer.core.suffixes import public_suffix_within
from enforcer.core.wording import printable, quoted

MAX_NAME = 253  # characters; 255 octets on the wire (RFC 1035 section 2.3.4)
MAX_LABEL = 63  # RFC 1035 section 2.3.4

# Letters, digits and hyphens (RFC 952, RFC 1123 section 2.1), and the underscore
# that DNS allows and service names use.
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NAME = re.compile(rf"{LABEL.pattern}(?:\.{LABEL.pattern})*")
# What the kernel takes a query for (bpf/name.h), wherever its hyphens are.
_ASKED = re.compile(rb"[a-z0-9_.-]+")


class InvalidHostname(Faulty):
    """What an operator wrote for a host is none.

    Attributes:
        reason: what is wrong.
        hint: what to write instead.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(Fault((), reason, hint))
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which names a policy entry means.

    Text and not a dns.name.Name, which takes three times the memory: policies
    have up to 100,000 of them.

    Attributes:
        domain: in lower case and A-labels, without trailing dot; of a wildcard,
            the part below ``*.``.
        wildcard: every name one or more labels below *domain*, not *domain* itself.
    """

    domain: str
    wildcard: bool

    @property
    def name(self) -> dns.name.Name:
        """The domain as DNS has it."""
        return dns.name.from_text(self.domain)

    def matches(self, qname: dns.name.Name) -> bool:
        """Tell whether *qname* is one of the names meant."""
        domain = domain_of(qname)
        if domain is None:
            return False
        return domain.endswith(f".{self.domain}") if self.wildcard else domain == self.domain

    def covers(self, other: Pattern) -> bool:
        """Tell whether every name that *other* means is one of the names meant."""
        below = self.wildcard and other.domain.endswith(f".{self.domain}")
        return self == other or below

    def sort_key(self) -> str:
        """Return what orders patterns by label, the top-level one first, and tells them apart."""
        # A space comes before all that a label may hold, and * right after it.
        labels = " ".join(reversed(self.domain.split(".")))
        return f"{labels} *" if self.wildcard else labels

    def __str__(self) -> str:
        return f"*.{self.domain}" if self.wildcard else self.domain


def domain_of(qname: dns.name.Name) -> str | None:
    """Return *qname* as patterns have it, or None if none of them can mean it.

    The root is such a name, and one with other characters than host names have: a
    dot within a label, a quote.
    """
    *labels, root = qname.labels
    joined = b".".join(labels).lower()
    if root or joined.count(b".") + 1 != len(labels) or not _ASKED.fullmatch(joined):
        return None
    return joined.decode()


def parse_pattern(text: str, *, shared: bool = False) -> Pattern:
    """Parse a host name or wildcard as an operator writes it.

    Case, a trailing dot and the Unicode form don't matter (UTS 46, IDNA 2008).

    Args:
        text: such as ``ghcr.io`` or ``*.example.com``, without port.
        shared: accept a wildcard over a public suffix too, where a preset's
            parameter asks for exactly that.

    Raises:
        InvalidHostname: if it is no name, or a wildcard that is too wide.
    """
    if not text:
        raise InvalidHostname("the name is empty", "write a name such as ghcr.io")
    if text in {"*", "*."}:
        raise InvalidHostname(
            f"{quoted(text)} would allow every host", "name the registry, or use *.example.com"
        )
    wildcard = text.startswith("*.")
    name = _ascii_name(text, text[2:] if wildcard else text)
    if len(name) + 2 * wildcard > MAX_NAME:
        raise _too_long(text, len(name) + 2 * wildcard)
    if wildcard and not shared and (suffix := public_suffix_within(name)):
        below = "" if suffix == name else f", such as those below {suffix}"
        raise InvalidHostname(
            f"{quoted(text)} would allow hosts that anyone can register{below}",
            "name the hosts, or use a wildcard under a name that one organization controls",
        )
    return Pattern(name, wildcard)


def _ascii_name(text: str, name: str) -> str:
    """Return *name*, all or part of *text*, in lower case and A-labels."""
    if "*" in name:
        raise InvalidHostname(
            f"{quoted(text)} has a * that isn't a first label of its own",
            "a wildcard is *. and a name, such as *.example.com; else list the names",
        )
    if re.match(r"\.[^.]", text):
        raise InvalidHostname(
            f"{quoted(text)} begins with a dot",
            f"for all names below, write {quoted(f'*{text}')}",
        )
    # Twice the limit, since UTS 46 drops some characters: but not a megabyte.
    if len(name) > 2 * MAX_NAME:
        raise _too_long(text, len(name))
    try:
        name = name.lower() if name.isascii() else idna.uts46_remap(name, std3_rules=False)
    except idna.IDNAError as exc:
        raise _not_idna(text, exc) from exc
    name = name.removesuffix(".")
    if len(name) > MAX_NAME:
        raise _too_long(text, len(name))
    # The whole name at once, because policies have thousands of plain ones.
    if "xn--" in name or not NAME.fullmatch(name):
        name = ".".join(_ascii_label(text, label) for label in name.split("."))
    if name.rpartition(".")[2].isdigit():
        # No top-level name is all digits (RFC 3696 section 2): 10.0.0.1, or part of it.
        refuse_address(text, name)
        raise InvalidHostname(
            f"{quoted(text)} looks like an address, not a name", "use networks: for addresses"
        )
    return name


def _ascii_label(text: str, label: str) -> str:
    if not label:
        raise InvalidHostname(f"{quoted(text)} has an empty label", "write one dot between labels")
    if len(label) > MAX_LABEL:
        raise InvalidHostname(
            f"the label {quoted(label)} is {len(label)} characters long",
            f"DNS allows {MAX_LABEL} characters between two dots",
        )
    if label.isascii() and not label.startswith("xn--"):
        if LABEL.fullmatch(label):
            return label
        raise InvalidHostname(
            f"{quoted(text)} is no host name",
            "a name has letters, digits, hyphens and dots, and no hyphen beside a dot",
        )
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError as exc:
        raise _not_idna(text, exc) from exc


def _not_idna(text: str, exc: idna.IDNAError) -> InvalidHostname:
    why = printable(str(exc))  # it holds the label, and that may hold anything
    return InvalidHostname(
        f"{quoted(text)} is no host name: {why[:1].lower()}{why[1:]}",
        "IDNA 2008 doesn't allow it: write the name as its owner registered it",
    )


def _too_long(text: str, length: int) -> InvalidHostname:
    return InvalidHostname(
        f"the name {quoted(text)} is {length} characters long",
        f"DNS allows {MAX_NAME} characters in a name",
    )


def refuse_address(text: str, candidate: str) -> None:
    """Raise InvalidHostname if *candidate* is an address or a network."""
    try:
        network = ipaddress.ip_network(candidate.partition("%")[0], strict=False)
    except ValueError:
        return
    raise InvalidHostname(f"{quoted(text)} is an address, not a name", f"use networks: [{network}]")
