"""nftables: the sets and expressions that the ruleset is made of, by real transactions.

Each probe is one ``nft -f -`` in a scratch namespace, which also makes the kernel load the
modules; what it lacks answers ENOENT or EOPNOTSUPP. The table itself needs CONFIG_NF_TABLES and
CONFIG_NF_TABLES_INET, and changes of the kernel:

- Linux kernel commit 0fb4d21956f4 ("netfilter: nft_meta: Add NFT_META_I/OIFKIND meta type") (in
  v5.0): a bridge is known whatever its name.
- Linux kernel commit 22fe54d5fefc ("netfilter: nf_tables: add support for dynamic set
  updates") (in v4.1): a packet adds an element.
- Linux kernel commit acab71317737 ("netfilter: nf_tables: allow lookups in dynamic sets") (in
  v5.4): a packet is looked up in a set that packets add to.
- Linux kernel commit dbb5281a1f84 ("netfilter: nf_tables: add support for matching IPv4 options")
  (in v5.3): a source route is seen.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from dataclasses import dataclass

from . import scratch
from .result import Outcome, Result

ID = "nftables"
FIRST_RELEASE = (5, 4)

# Users other than root have no sbin in PATH, services sometimes no PATH.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT_S = 10.0

# Nothing is deleted: the kernel judges whole chains at the end of a transaction, and only
# those that stay. All goes with the namespace.
_CHAIN = """\
table inet enforcer_check {
  %s
  chain output {
    type filter hook output priority 0
    %s
  }
}
"""
_SETS = """\
  set learned { type ipv4_addr . inet_service; flags dynamic, timeout; size 16; }
"""
# Protocols by number, as in the ruleset: their names may be nowhere on this machine.
_RULES = """\
    oifname "lo" ip6 daddr & ffff:ffff:: { 2001:db8::, fd00:: } accept
    ip daddr . tcp dport @learned accept
    meta oifkind { "bridge", "veth" } accept
    meta mark { 1, 2 } meta mark set 0
    exthdr rt exists drop
    ip option lsrr exists drop
    ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-neighbor-solicit } accept
    ip daddr 224.0.0.0/4 ip ttl 1 ip protocol 2 accept
    meta l4proto { 6, 17 } th dport 53 accept
    tcp flags & (syn | ack) == syn add @learned { ip daddr . tcp dport timeout 60s } accept
"""


@dataclass(frozen=True)
class Expression:
    """An expression that the ruleset uses where the kernel has it.

    Attributes:
        name: as nft writes it, with dashes for spaces.
        objects: what its rules refer to.
        rules: one or more rules that use it.
        options: what a kernel needs for them.
        without: what enforcement is like where it is missing.
    """

    name: str
    objects: str
    rules: str
    options: str
    without: str

    @property
    def id(self) -> str:
        """The name of its check."""
        return f"nft-{self.name}"

    @property
    def words(self) -> str:
        """The expression as nft writes it."""
        return self.name.replace("-", " ")


EXPRESSIONS = (
    Expression(
        "ct",
        "",
        "ct state established accept\nct state new ct direction original ct status dnat accept",
        "CONFIG_NFT_CT",
        "packets are judged one by one, not by connection",
    ),
    Expression(
        "ct-label",
        "",
        "ct state new ct label set 1\nct label 1 accept",
        "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_LABELS",
        "a forged source, over the loopback or from a container, passes for a peer's",
    ),
    Expression(
        "reject",
        "",
        "meta l4proto 6 reject with tcp reset\nreject with icmpx type admin-prohibited",
        "CONFIG_NFT_REJECT and CONFIG_NFT_REJECT_INET",
        "refused connections time out instead of failing at once",
    ),
    Expression(
        "counter",
        "counter denied { }",
        "counter name denied",
        "CONFIG_NFT_COUNTER and CONFIG_NFT_OBJREF",
        "denied packets are not counted",
    ),
    Expression(
        "log",
        "",
        "limit rate 100/second burst 200 packets log group 1 snaplen 128",
        "CONFIG_NFT_LOG, CONFIG_NFT_LIMIT and CONFIG_NETFILTER_NETLINK_LOG",
        "who was denied what is not recorded",
    ),
)


def check(path: str = _PATH) -> Result:
    """Say whether nft and the kernel take what every ruleset needs: sets that packets add to.

    Args:
        path: where nft is looked for.
    """
    nft = shutil.which("nft", path=path)
    if nft is None:
        remedy = "install nftables: apt install nftables"
        return Result(ID, Outcome.UNSUPPORTED, f"no nft in {path}", remedy)

    def probe() -> Result:
        refusal = _transaction(nft, _SETS, _RULES)
        if refusal:
            remedy = "use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
            detail = f"no sets with timeouts that packets add to: {refusal}"
            return Result(ID, Outcome.UNSUPPORTED, detail, remedy)
        return Result(ID, Outcome.SUPPORTED, "sets with timeouts that packets add to")

    return scratch.in_network(ID, probe)


def check_expression(expression: Expression, path: str = _PATH) -> Result:
    """Say whether the kernel has *expression*, and what it is like without.

    Args:
        expression: what to use in a rule.
        path: where nft is looked for.
    """
    nft = shutil.which("nft", path=path)
    if nft is None:
        return Result(expression.id, Outcome.INCONCLUSIVE, f"no nft in {path}")

    def probe() -> Result:
        refusal = _transaction(nft, expression.objects, expression.rules)
        if refusal:
            detail = f"no expression {expression.words}: {refusal}: {expression.without}"
            remedy = f"use a kernel with {expression.options}; on WSL 2: `wsl --update`"
            return Result(expression.id, Outcome.UNSUPPORTED, detail, remedy)
        return Result(expression.id, Outcome.SUPPORTED, f"expression {expression.words}")

    return scratch.in_network(expression.id, probe)


def _transaction(nft: str, objects: str, rules: str) -> str:
    """Return why the kernel refuses these rules; nothing if it takes them."""
    try:
        done = subprocess.run(
            [nft, "-f", "-"],
            input=_CHAIN % (objects, rules),
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={"PATH": _PATH, "LC_ALL": "C"},
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise TimeoutError(errno.ETIMEDOUT, f"{nft} did not answer") from exc
    if done.returncode == 0:
        return ""
    lines = done.stderr.splitlines() or [f"nft exited with {done.returncode}"]
    if os.strerror(errno.EPERM) in done.stderr:
        raise PermissionError(errno.EPERM, lines[0])
    return lines[0].rpartition(": ")[2]
