"""The chains of our table: their names, their hooks and what goes by interface.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from enforcer.core.interfaces import CONTAINER_KINDS, matching
from enforcer.core.policy import Mode

OUTPUT_CHAIN = "output"
INPUT_CHAIN = "input"
PREROUTING_CHAIN = "prerouting"
FORWARD_CHAIN = "forward"
JUDGING_CHAINS = (OUTPUT_CHAIN, FORWARD_CHAIN)  # what leaves passes one of them
LABELLING_CHAINS = (PREROUTING_CHAIN, INPUT_CHAIN)
BASE_CHAINS = (*JUDGING_CHAINS, *LABELLING_CHAINS)
LEARNED_CHAIN = "learned"
UNMARKING_CHAIN = {OUTPUT_CHAIN: "unmark_output", FORWARD_CHAIN: "unmark_forward"}
PERMITTED_CHAIN = "permitted"
DESTINATIONS_CHAIN = "destinations"
EXEMPT_CHAIN = "exempt"
INSIDE_CHAIN = "inside"
ARRIVED_CHAIN = "arrived"
UNJUDGED_CHAIN = "unjudged"
STRAY_CHAIN = "stray"
# Where a packet ends that nothing permitted: its name tells the mode of a table
# found in the kernel.
LAST_CHAIN = {Mode.ENFORCE: "denied", Mode.AUDIT: "audited"}

# After DNAT in the output hook (dstnat, -100), so that the destination judged is
# the one the packet goes to; before other people's filter chains (0), so that a
# refusal is ours, fast and named, and the mark is gone when they look.
_JUDGING = "filter - 10"
# While one ruleset replaces another, both may judge a packet: the second must find the mark, too.
_UNMARKING = "filter - 9"


def missing_chains(has: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the base chains that our table should have and has not.

    Args:
        has: tells whether it has the chain of that name.
    """
    # The chains that the label is set in exist where the kernel has labels.
    labelling = LABELLING_CHAINS if has(UNJUDGED_CHAIN) else ()
    return tuple(name for name in (*JUDGING_CHAINS, *labelling) if not has(name))


def hook(name: str, *, judged: bool = False) -> str:
    """Return the line that makes a chain a base chain of the hook *name*.

    Args:
        name: of the hook.
        judged: it comes after those that judge.
    """
    return f"type filter hook {name} priority {_UNMARKING if judged else _JUDGING}; policy accept;"


def by_interface(
    key: str, exempt: Sequence[str], uplinks: Collection[str], verdict: str
) -> Iterator[str]:
    """Return the rules that give what goes by an exempt interface its *verdict*.

    Args:
        key: ``iifname`` or ``oifname``.
        exempt: names, or their beginnings with a final ``*``.
        uplinks: never exempt, whatever they are called.
        verdict: the end of each rule.
    """
    for name in exempt:
        but = ", ".join(f'"{uplink}"' for uplink in matching(name, uplinks))
        yield (f"{key} != {{ {but} }} " if but else "") + f'{key} "{name}" {verdict}'


def by_kind(way: str, uplinks: Collection[str], verdict: str) -> str:
    """Return the rule that gives what goes by a way to containers, of any name, its *verdict*.

    Args:
        way: ``iif`` or ``oif``.
        uplinks: those of that kind that lead out.
        verdict: the end of the rule.
    """
    kinds = ", ".join(f'"{kind}"' for kind in CONTAINER_KINDS)
    names = ", ".join(f'"{uplink}"' for uplink in sorted(uplinks))
    but = f"{way}name != {{ {names} }} " if names else ""
    return f"meta {way}kind {{ {kinds} }} {but}{verdict}"
