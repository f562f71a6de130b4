"""What is in force, or to be: a policy and the resolvers that are trusted with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from enforcer.core.addresses import Address
from enforcer.core.grants import Grants
from enforcer.core.policy import Policy
from enforcer.edge.policy_file import Signature, read_policy, signature
from enforcer.edge.resolvconf import NoResolver, SystemResolvers, system_resolvers

ROOT = Path("/")


@dataclass(frozen=True)
class InForce:
    """What the kernel was told to enforce.

    Attributes:
        notes: name servers of the machine that can't be used, and why.
        since: wall clock, seconds since the epoch.
        file: the policy file as it was before it was read.
    """

    policy: Policy
    grants: Grants
    resolvers: tuple[Address, ...]
    notes: tuple[str, ...]
    since: float
    file: Signature | None = None

    @classmethod
    def read(cls, policy_path: Path, before: Grants | None = None) -> InForce:
        """Return what the policy file and the machine's resolvers say now.

        Args:
            policy_path: of the file.
            before: what it replaces, if anything.

        Raises:
            PolicyError: the file can't be used.
        """
        file = signature(policy_path)
        policy = read_policy(policy_path, before, enforced=True)
        found = trusted_resolvers(policy)
        return cls(policy, Grants(policy.hosts), found.addresses, found.notes, time.time(), file)


def trusted_resolvers(policy: Policy) -> SystemResolvers:
    """Return those that *policy* lists, or the machine's as they are now."""
    if policy.resolvers is not None:
        return SystemResolvers(policy.resolvers, ())
    try:
        return system_resolvers(ROOT)
    except NoResolver as exc:
        # Closed without anybody to ask, rather than open until there is.
        return SystemResolvers((), (exc.message,))
