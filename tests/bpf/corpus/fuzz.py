"""Many messages of the corpus through both parsers, reproducibly."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.bpf.corpus.odd import odd
from tests.bpf.corpus.parsers import Disagreement, Parsers, minimise
from tests.bpf.corpus.plain import SIZE_MAX, plain

PLAIN_SHARE = 0.25


def message(rng: Random) -> tuple[bytes, bool]:
    """Return a message and whether it is a plain one, read alike by both."""
    if rng.random() < PLAIN_SHARE:
        return plain(rng).to_wire(), True
    return odd(rng), False


def numbered(seed: str, number: int) -> tuple[bytes, bool]:
    """Return the message of that number: the same for the same seed, whatever came before."""
    return message(Random(f"{seed} {number}"))  # noqa: S311  nothing secret


def fuzz(parsers: Parsers, seed: str, numbers: range) -> Counter[str]:
    """Check the messages of these numbers and return how many came to what.

    Raises:
        Disagreement: with the seed, the number and a minimal message.
    """
    seen: Counter[str] = Counter()
    for number in numbers:
        wire, is_plain = numbered(seed, number)
        if len(wire) > SIZE_MAX:
            seen["too long, left out"] += 1
            continue
        try:
            outcome = parsers.check(wire, plain=is_plain)
        except Disagreement as exc:
            small = minimise(parsers, wire, plain=is_plain)
            raise Disagreement(f"{exc}\nseed {seed}, message {number}: {small.hex()}") from exc
        seen["plain" if is_plain else "odd"] += 1
        if outcome.opened:
            kind = "plain" if is_plain else "odd"
            seen[f"{kind}, opened by user space"] += 1
            seen[f"{kind}, learned by the kernel"] += bool(outcome.learned)
    return seen
