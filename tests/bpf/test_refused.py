"""The kernel refuses the addresses that user space refuses, up to the border of each network."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from enforcer.core.addresses import Address, learnable
from enforcer.edge.programs import Programs
from tests.bpf.conftest import OWN, told
from tests.bpf.corpus.parsers import Parsers
from tests.bpf.corpus.plain import borders
from tests.bpf.corpus.wire import AAAA, A, Message, Name, Record

pytestmark = pytest.mark.root

BORDERS = borders()
OWNED = frozenset({ip_address(OWN)})


@pytest.mark.parametrize(("host", "private"), [(b"registry", False), (b"inside", True)])
@pytest.mark.parametrize("address", BORDERS, ids=str)
def test_both_decide_alike_at_every_border(
    loaded: Programs, address: Address, host: bytes, private: bool
) -> None:
    """The address below a network, its first, its last, and the one above, for both grants."""
    rdtype = A if address.version == 4 else AAAA
    name = Name((host, b"test"))
    wire = Message(name, rdtype, (Record(name, rdtype, address.packed),)).to_wire()
    outcome = Parsers(loaded).check(wire, plain=True)
    assert bool(outcome.learned) == learnable(address, private=private, own=OWNED)


def test_the_borders_are_on_both_sides() -> None:
    """Each kind of decision is among them: never, private only, always; of each family."""
    for version in (4, 6):
        kinds = {
            (learnable(a, private=False, own=OWNED), learnable(a, private=True, own=OWNED))
            for a in BORDERS
            if a.version == version
        }
        assert kinds == {(False, False), (False, True), (True, True)}


def test_a_machine_may_have_thousands_of_addresses() -> None:
    """As a node of Kubernetes has of services: 2,000 of IPv4 were too many to enforce at all."""
    programs, first = told(), ip_address("172.16.0.0")
    try:
        programs.set_own_addresses([first + n for n in range(20_000)])
        programs.set_own_addresses([first + n for n in range(20_000, 21_000)])
    finally:
        programs.close()
