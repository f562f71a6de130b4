"""The form in which the kernel matches host names: reversed, so that suffixes are prefixes.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from enforcer.core.hostname import Pattern

EXACT_END = b"\0"
SEPARATOR = b"."


def trie_prefix(pattern: Pattern) -> bytes:
    r"""Return the LPM prefix of *pattern* as bpf/abi.h's struct name_key describes it.

    ``ghcr.io`` becomes ``oi.rchg\0`` and ``*.ghcr.io`` becomes ``oi.rchg.``: no
    name outside the pattern begins with it.
    """
    return pattern.domain[::-1].encode("ascii") + (SEPARATOR if pattern.wildcard else EXACT_END)
