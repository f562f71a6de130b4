"""One ruleset replaces another, again and again, while connections begin: nobody notices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from ipaddress import ip_network

import pytest

from enforcer.core.addresses import Network
from tests.lab.guarded import NONCE, Host, element
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, Topology

pytestmark = pytest.mark.root

COMMITS = 60
NETWORKS = ("198.19.0.0/16", "2001:db8:1::/112")
PERMITTED = ("198.18.0.1/32", "2001:db8::1/128")
# Arguments: addresses, mark. Connects to one after the other until told to end, and counts what
# comes of it.
_CONNECT = """
import collections, errno, ipaddress, itertools, json, os, socket, struct, sys
os.set_blocking(0, False)
network, mark = ipaddress.ip_network(sys.argv[1]), int(sys.argv[2])
family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
outcomes = collections.Counter()
for number in itertools.count():
    if number % 100 == 0 and sys.stdin.buffer.raw.read(1) == b"":
        break
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
        try:
            sock.connect((str(network[number % network.num_addresses]), 443))
            outcomes["connected"] += 1
        except OSError as exc:
            outcomes[errno.errorcode.get(exc.errno, "ETIMEDOUT")] += 1
print(json.dumps(outcomes))
"""


def outcomes(
    client: Namespace,
    host: Host,
    network: str,
    *,
    mark: int = 0,
    networks: tuple[Network, ...] = (),
) -> Counter[str]:
    """Return what came of connections while *host* applied rulesets.

    Args:
        client: connects.
        host: applies them.
        network: the addresses connected to.
        mark: of each connection.
        networks: that the rulesets permit.
    """
    kept = [element(str(ip_network(each)[0])) for each in PERMITTED]
    host.enforce(*kept, networks=networks)
    command = client.command(sys.executable, "-c", _CONNECT, network, str(mark))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as connecting:
        for _ in range(COMMITS):
            host.enforce(*kept, networks=networks)
        found: Counter[str] = Counter(json.loads(connecting.communicate()[0]))
    assert found.total() > 10 * COMMITS
    return found


@pytest.mark.parametrize("network", NETWORKS, ids=["v4", "v6"])
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_marked_syn_finds_each_ruleset(
    net: Topology, host: Host, origin: str, network: str
) -> None:
    """One had let it out and taken its mark, and it came to the other unmarked."""
    client = {"host": net.host, "container": net.container}[origin]
    family = "ip6" if ":" in network else "ip"
    net.host.nft(
        "table inet lab_marks {\n  chain prerouting {\n"
        "    type filter hook prerouting priority mangle\n"
        f'    iifname "{BRIDGE}" {family} daddr {network} meta mark set {NONCE}\n  }}\n}}\n'
    )
    try:
        assert "ECONNREFUSED" not in outcomes(client, host, network, mark=NONCE)
    finally:
        net.host.nft("delete table inet lab_marks")


@pytest.mark.parametrize("network", PERMITTED, ids=["v4", "v6"])
def test_what_is_open_stays_open(net: Topology, host: Host, network: str) -> None:
    """Elements of the new sets are there when its chains are."""
    assert "ECONNREFUSED" not in outcomes(net.host, host, network)


@pytest.mark.parametrize("network", NETWORKS, ids=["v4", "v6"])
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_network_stays_open(net: Topology, host: Host, origin: str, network: str) -> None:
    """One of several of its length, and there when the new chains are.

    Sets of intervals were not: each commit refused what came in the microseconds until then.
    """
    client = {"host": net.host, "container": net.container}[origin]
    several = tuple(map(ip_network, (network, "10.20.0.0/16", "fd20::/112")))
    assert "ECONNREFUSED" not in outcomes(client, host, network, networks=several)


@pytest.mark.parametrize("network", NETWORKS, ids=["v4", "v6"])
def test_nothing_gets_out_between_two_rulesets(net: Topology, host: Host, network: str) -> None:
    """One of them judges each packet."""
    assert outcomes(net.host, host, network).keys() == {"ECONNREFUSED"}
