"""Asking DNS inside a namespace, and waiting for what an answer opens."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import dns.rdatatype

from tests.lab.connect import attempt
from tests.lab.wait import until

if TYPE_CHECKING:
    from tests.lab.daemon import Enforcer
    from tests.lab.namespace import Namespace

_TIMEOUT_S = 5
# By the lenient path an answer goes through user space, which takes milliseconds.
OPENED_WITHIN_S = 10


def ask(
    namespace: Namespace,
    server: str,
    name: str,
    kind: str = "A",
    size: int = 4096,
    *,
    tcp: bool = False,
) -> dns.message.Message:
    """Return *server*'s answer, fetched over TCP where *tcp* says so or it came truncated."""
    query = dns.message.make_query(name, kind, use_edns=0, payload=size)

    def send() -> dns.message.Message:
        if tcp:
            return dns.query.tcp(query, server, timeout=_TIMEOUT_S)
        return dns.query.udp_with_fallback(query, server, timeout=_TIMEOUT_S)[0]

    return namespace.call(send)


def ask_both(namespace: Namespace, server: str, name: str, size: int = 4096) -> list[str]:
    """Ask for both families; return the addresses."""
    return [
        str(record)
        for kind in ("A", "AAAA")
        for rrset in ask(namespace, server, name, kind, size).answer
        if rrset.rdtype == dns.rdatatype.from_text(kind)
        for record in rrset
    ]


def is_open(namespace: Namespace, address: str, port: int = 443) -> bool:
    """Tell whether a connection is made; a refusal is the only other outcome."""
    outcome = attempt(namespace, address, port).outcome
    assert outcome in {"connected", "ECONNREFUSED"}, f"{address}: {outcome}"
    return outcome == "connected"


def await_open(namespace: Namespace, *addresses: str, port: int = 443) -> None:
    """Return once connections to all *addresses* are made."""
    for address in addresses:
        until(
            lambda address=address: is_open(namespace, address, port),  # type: ignore[misc]
            OPENED_WITHIN_S,
            f"{address} port {port} to be open in {namespace.name}",
        )


def held(enforcer: Enforcer, host: str) -> dict[str, dict[str, Any]]:
    """Return what `enforcer hosts` shows of *host*, by address."""
    shown = json.loads(enforcer.cli("hosts", host, "--json").stdout)["hosts"]
    return {
        each["address"]: each
        for entry in shown
        if entry["host"] == host
        for each in entry["addresses"]
    }


def await_held(enforcer: Enforcer, host: str, *addresses: str) -> dict[str, dict[str, Any]]:
    """Return what `enforcer hosts` shows of *host* once it has *addresses*."""

    def complete() -> dict[str, dict[str, Any]] | None:
        found = held(enforcer, host)
        return found if set(addresses) <= set(found) else None

    found = until(complete, OPENED_WITHIN_S, f"{host} to have {len(addresses)} addresses")
    assert found is not None
    return found


def without_compression(message: dns.message.Message) -> bytes:
    """Return *message*, question and answer section, with every name in full."""
    out = io.BytesIO()
    counts = len(message.question), sum(map(len, message.answer)), 0, 0
    out.write(struct.pack("!HHHHHH", message.id, message.flags, *counts))
    for rrset in message.question:
        rrset.name.to_wire(out)
        out.write(struct.pack("!HH", rrset.rdtype, rrset.rdclass))
    for rrset in message.answer:
        rrset.to_wire(out, None)
    return out.getvalue()


def in_reverse(message: dns.message.Message) -> bytes:
    """Return *message* with its answers in reverse: addresses first, the chain to them after."""
    message.answer.reverse()
    return message.to_wire()
