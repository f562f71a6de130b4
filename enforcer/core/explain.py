"""Why something is allowed or denied, and what a pull of an image needs.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.destinations import DNS_PORT
from enforcer.core.holders import Binding
from enforcer.core.host_and_port import HTTPS
from enforcer.core.hostname import Pattern
from enforcer.core.policy import Policy
from enforcer.core.presets import Argument, Preset, Purpose, entry_text, serving
from enforcer.core.target import Image, Name, Place, Target

# What a pull fails without. The rest is for signing in, and for checking signatures.
_NEEDED = (Purpose.API, Purpose.AUTH, Purpose.LAYERS)
_CLOSED = "only what a trusted resolver answers for a permitted name is open"


@dataclass(frozen=True)
class Entry:
    """What in the policy permits something.

    Attributes:
        text: a pattern or a network.
        origin: ``hosts``, ``networks`` or ``resolvers``, a preset, or several with a
            comma between.
    """

    text: str
    origin: str


_THIS_MACHINE = Entry("this machine", "every policy")


@dataclass(frozen=True)
class Need:
    """A host that is the target, or that a pull of it is known to use.

    Attributes:
        purpose: what it is for.
        entry: permits it; None: it is denied.
    """

    pattern: Pattern
    port: int
    purpose: Purpose
    entry: Entry | None


@dataclass(frozen=True)
class Explanation:
    """Whether a target may be reached, and why.

    Attributes:
        what: the target in full.
        allowed: all that it is known to need is.
        registry: the preset that an image's registry has; None: none has it.
        needs: hosts in the order of a pull; none for an address.
        entry: permits an address.
        names: of an address: the hosts that it is open for now.
        add: lines for the policy file that would permit it.
        note: what else there is to know; may be empty.
    """

    what: str
    allowed: bool
    registry: str | None = None
    needs: tuple[Need, ...] = ()
    entry: Entry | None = None
    names: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    note: str = ""


def explain(
    target: Target,
    policy: Policy,
    bindings: Iterable[Binding] = (),
    resolvers: Collection[Address] = (),
) -> Explanation:
    """Explain what *policy* makes of *target*.

    Args:
        target: as parse_target() read it.
        policy: the one in force, or another.
        bindings: which addresses are open for which hosts.
        resolvers: that are trusted.
    """
    if isinstance(target, Place):
        return _place(target, policy, bindings, resolvers)
    if isinstance(target, Name):
        return _name(target, policy)
    return _image(target, policy)


def _place(
    target: Place, policy: Policy, bindings: Iterable[Binding], resolvers: Collection[Address]
) -> Explanation:
    address, port = target.address, target.port
    place = f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
    what = target.image or place
    at_address = [each for each in bindings if each.address == address]
    open_for = tuple(sorted({each.host for each in at_address if port in each.ports}))
    entry = _THIS_MACHINE if address.is_loopback else _network(address, policy)
    if entry is None and port == DNS_PORT and address in resolvers:
        entry = Entry(str(address), "resolvers")
    if entry is None and open_for:
        return Explanation(what, allowed=True, names=open_for)
    note = ""
    if entry is None:
        others = sorted({f"{each.host}:{p}" for each in at_address for p in each.ports})
        note = f"it is open for {', '.join(others)} only" if others else _CLOSED
    # Who pulls from an address has no name to permit.
    add = ("networks:", f"  - {address}") if target.image and entry is None else ()
    allowed = entry is not None
    return Explanation(what, allowed, entry=entry, names=open_for, add=add, note=note)


def _network(address: Address, policy: Policy) -> Entry | None:
    for network in policy.networks:
        if address.version == network.version and address in network:
            return Entry(str(network), "networks")
    return None


def _name(target: Name, policy: Policy) -> Explanation:
    pattern = Pattern(target.host, wildcard=False)
    need = _need(pattern, target.port, Purpose.API, policy)
    allowed = need.entry is not None
    add: tuple[str, ...] = (_line(pattern, target.port),)
    if target.port == HTTPS and serving(target.host) is not None:
        # Whoever asks for a registry is about to pull from it.
        add = _image(Image(target.host, HTTPS, target.host), policy).add
    return Explanation(
        f"{target.host}:{target.port}",
        allowed,
        needs=(need,),
        add=() if allowed else add,
        note="" if allowed else _other_ports(pattern, policy),
    )


def _image(target: Image, policy: Policy) -> Explanation:
    served = Pattern(target.host, wildcard=False)
    needs = [_need(served, target.port, Purpose.API, policy)]
    known = serving(target.host) if target.port == HTTPS else None
    if known is None:
        note = "no preset knows this registry: where its layers come from is not known here"
        add = () if needs[0].entry else (_line(served, target.port),)
        return Explanation(
            target.name,
            not add,
            needs=tuple(needs),
            add=add,
            note=(add and _other_ports(served, policy)) or note,
        )
    preset, arguments = known
    for host in preset.hosts:
        pattern = host.pattern(arguments)
        if pattern is not None and host.purpose in _NEEDED[1:]:
            needs.append(_need(pattern, HTTPS, host.purpose, policy))
    missing = [need for need in needs if need.entry is None]
    return Explanation(
        target.name,
        not missing,
        preset.name,
        tuple(needs),
        add=_lines(preset, arguments, missing, whole=len(missing) == len(needs)),
        note=preset.note,
    )


def _need(pattern: Pattern, port: int, purpose: Purpose, policy: Policy) -> Need:
    if pattern.domain == "localhost":
        return Need(pattern, port, purpose, _THIS_MACHINE)
    permitting = [
        host for host in policy.hosts if port in host.ports and host.pattern.covers(pattern)
    ]
    # The entry that is written for it, before a wildcard above it.
    host = max(permitting, key=lambda each: len(each.pattern.domain), default=None)
    return Need(pattern, port, purpose, Entry(str(host.pattern), host.origin) if host else None)


def _other_ports(pattern: Pattern, policy: Policy) -> str:
    covering = [host for host in policy.hosts if host.pattern.covers(pattern)]
    ports = sorted({port for host in covering for port in host.ports})
    return f"it is permitted on port {', '.join(map(str, ports))} only" if ports else ""


def _lines(
    preset: Preset, arguments: dict[str, Argument], missing: Iterable[Need], *, whole: bool
) -> tuple[str, ...]:
    """Return what to add: the preset if it is not there at all, else the hosts that lack."""
    if not whole:
        return tuple(_line(need.pattern, need.port) for need in missing)
    return ("registries:", f"  - {entry_text(preset, arguments)}")


def _line(pattern: Pattern, port: int) -> str:
    text = str(pattern) if port == HTTPS else f"{pattern}:{port}"
    return f'  - "{text}"' if pattern.wildcard else f"  - {text}"
