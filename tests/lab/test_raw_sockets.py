"""Where the firewall ends: who may send frames, in the machine's own network namespace."""

from __future__ import annotations

import json

import pytest

from tests.bpf.run import TcpFlag, tcp
from tests.lab.connect import attempt
from tests.lab.frame import send_frame
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.topology import UPLINK
from tests.lab.wait import until

pytestmark = pytest.mark.root

ADDRESS = "198.18.66.6"
TIMEOUT_S = 5


def hardware_address(namespace: Namespace) -> bytes:
    """Return the Ethernet address of the link between machine and world."""
    (link,) = json.loads(namespace.run("ip", "-json", "link", "show", UPLINK).stdout)
    return bytes.fromhex(link["address"].replace(":", ""))


@pytest.mark.usefixtures("enforcer")
def test_raw_sockets_of_the_machine_are_past_the_firewall(shared_lab: Lab) -> None:
    """CAP_NET_RAW sends frames that no ruleset sees: it needs no nonce, so none is hidden from it.

    It is also what setting the nonce on a packet takes, from Linux 5.17 on.
    """
    host, world = shared_lab.net.host, shared_lab.net.world
    shared_lab.sink.reset()
    assert attempt(host, ADDRESS).outcome == "ECONNREFUSED"
    assert (ADDRESS, 443) not in shared_lab.sink.syns()
    frame = (
        hardware_address(world)
        + hardware_address(host)
        + tcp("10.77.0.2", 40000, ADDRESS, 443, flags=TcpFlag.SYN)[12:]
    )
    status, said = send_frame(host, UPLINK, frame, capability="net_bind_service")
    assert status != 0
    assert "Operation not permitted" in said
    status, said = send_frame(host, UPLINK, frame, capability="net_raw")
    assert status == 0, said
    until(lambda: (ADDRESS, 443) in shared_lab.sink.syns(), TIMEOUT_S, "the frame to arrive")
