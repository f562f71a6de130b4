"""What is compared: a machine without a firewall, with enforcer, and with what else one would take.

Each is a lab of its own. They exist side by side and idle ones cost nothing, so a
round can go from one to the next without setting anything up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from bench.world import IPERF_PORT, IPERF_ZONE, RESOLVER, ZONE, world
from tests.lab.daemon import Enforcer
from tests.lab.topology import BRIDGE, Topology
from tests.lab.wait import until

POLICY = f"""\
version: 1
organization: bench
hosts:
  - "*.{ZONE}"
  - "*.{IPERF_ZONE}:{IPERF_PORT}"
dns: {{min_ttl: 60, grace: 300}}
"""
# Of an address in an answer of bench/inside/responder.py under that policy.
LIFETIME_S = 3600 + 300

OPEN = "no firewall"
ENFORCER = "enforcer"
NO_INLINE = "no inline path"
NFTSET = "dnsmasq nftset"
PROXY = "dnsmasq alone"

# Where dnsmasq answers: for the host and for the container.
_LISTEN = {"host": "127.0.0.1", "container": "172.30.0.1"}
_DNSMASQ_TIMEOUT_S = 10

# What the rule of dnsmasq's own documentation for --nftset needs around it: all is
# denied but replies, what stays inside, DNS to the resolver and what dnsmasq added.
_DENY = f"""
table inet peer {{
  set allow4 {{ type ipv4_addr; flags timeout; timeout 1h; }}
  set allow6 {{ type ipv6_addr; flags timeout; timeout 1h; }}
  chain permitted {{
    ct state established,related accept
    oifname {{ "lo", "{BRIDGE}" }} accept
    ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
    ip daddr @allow4 accept
    ip6 daddr @allow6 accept
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}
  chain output {{ type filter hook output priority 0; jump permitted; }}
  chain forward {{ type filter hook forward priority 0; jump permitted; }}
}}
"""

# Ahead of enforcer's chains, so that they never see the mark of a first SYN.
_UNMARK = """
table inet unmark {
  chain output { type filter hook output priority filter - 20; meta mark set 0; }
  chain forward { type filter hook forward priority filter - 20; meta mark set 0; }
}
"""


@dataclass(frozen=True)
class Peer:
    """A lab under one of the variants.

    Attributes:
        enforcer: its daemon, if there is one.
    """

    name: str
    net: Topology
    enforcer: Enforcer | None = None


@contextlib.contextmanager
def unprotected() -> Iterator[Peer]:
    """Make a machine that may reach anything."""
    with world() as net:
        yield Peer(OPEN, net)


@contextlib.contextmanager
def enforcing(policy: str = POLICY) -> Iterator[Peer]:
    """Make a machine under enforcer."""
    with world() as net:
        daemon = Enforcer(net, policy)
        daemon.start()
        try:
            yield Peer(ENFORCER, net, daemon)
        finally:
            try:
                daemon.stop()
            finally:
                daemon.kill()


@contextlib.contextmanager
def without_inline() -> Iterator[Peer]:
    """Make a machine under enforcer whose first SYNs have to wait for user space."""
    with enforcing() as peer:
        # Not by detaching programs: the daemon puts those back within seconds.
        peer.net.host.nft(_UNMARK)
        yield Peer(NO_INLINE, peer.net, peer.enforcer)


@contextlib.contextmanager
def dnsmasq_nftset() -> Iterator[Peer]:
    """Make a machine that denies all but what dnsmasq puts into sets before it answers."""
    with world() as net:
        net.host.nft(_DENY)
        sets = ",".join(f"{n}#inet#peer#allow{n}" for n in (4, 6))
        with _dnsmasq(net, f"--nftset=/{ZONE}/{sets}"):
            yield Peer(NFTSET, net)


@contextlib.contextmanager
def dnsmasq_alone() -> Iterator[Peer]:
    """Make a machine without a firewall that asks through dnsmasq: what a proxy costs."""
    with world() as net, _dnsmasq(net):
        yield Peer(PROXY, net)


@contextlib.contextmanager
def _dnsmasq(net: Topology, *options: str) -> Iterator[None]:
    pid_file = net.directory / "dnsmasq.pid"
    common = ("--conf-file=/dev/null", "--no-hosts", "--no-resolv")
    net.host.run(
        "dnsmasq",
        *common,
        "--user=root",
        "--bind-interfaces",
        f"--server={RESOLVER}",
        f"--pid-file={pid_file}",
        *(f"--listen-address={address}" for address in _LISTEN.values()),
        *options,
    )
    until(lambda: pid_file.exists() and pid_file.read_text(), _DNSMASQ_TIMEOUT_S, "dnsmasq")
    net.host.resolv_conf.write_text(f"nameserver {_LISTEN['host']}\n")
    net.container.resolv_conf.write_text(f"nameserver {_LISTEN['container']}\n")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 15)


ALL: Mapping[str, Callable[[], AbstractContextManager[Peer]]] = {
    OPEN: unprotected,
    ENFORCER: enforcing,
    NO_INLINE: without_inline,
    NFTSET: dnsmasq_nftset,
    PROXY: dnsmasq_alone,
}


@contextlib.contextmanager
def side_by_side(*names: str) -> Iterator[Sequence[Peer]]:
    """Make the variants of these names at once."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(ALL[name]()) for name in names)
