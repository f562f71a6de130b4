"""DNS messages as tests write them, and what was learned from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rcode
import dns.rrset

if TYPE_CHECKING:
    from enforcer.edge.programs import Programs


def query(name: str, kind: str = "A") -> dns.message.QueryMessage:
    """Return a query with the id 0x1234."""
    message = dns.message.make_query(name, kind)
    message.id = 0x1234
    return message


def answer(asked: dns.message.QueryMessage, *rrsets: str, rcode: int = 0) -> dns.message.Message:
    """Return an answer whose records are written as in a zone file."""
    message = dns.message.make_response(asked)
    message.set_rcode(dns.rcode.Rcode(rcode))
    for text in rrsets:
        owner, ttl, rdclass, kind, *rdata = text.split()
        message.answer.append(
            dns.rrset.from_text(dns.name.from_text(owner), int(ttl), rdclass, kind, *rdata)
        )
    return message


def learned(programs: Programs) -> set[tuple[str, int]]:
    """Return what is in the map."""
    return {(str(address), port) for address, port in programs.learned()}
