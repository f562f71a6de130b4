"""What was denied lately, by host."""

from __future__ import annotations

from ipaddress import ip_address

from enforcer.core.denials import Attempt, Denials, Details, Verdict
from enforcer.core.denied_hosts import MAX_ASKERS, denied_hosts
from enforcer.core.destinations import TCP, UDP, Destination
from enforcer.core.policy import Mode

ACME = Verdict("acme", Mode.ENFORCE)


def attempt(host: str, address: str, port: int = 443, protocol: int = TCP, pid: int = 1) -> Attempt:
    """Return an attempt of the machine's own."""
    return Attempt(host, Destination(ip_address(address), protocol, port), pid=pid)


def records(*added: tuple[Attempt, float, str]) -> Denials:
    """Return records of attempts, each with its time and process."""
    made = Denials()
    for each, now, process in added:
        made.add(each, ACME, lambda process=process: Details(process=process), now)  # type: ignore[misc]
    return made


def test_addresses_of_a_host_are_one_and_the_most_denied_comes_first() -> None:
    """With all packets, whoever asked, and when it was last."""
    found = denied_hosts(
        records(
            (attempt("", "192.0.2.7", pid=9), 95.0, "curl"),
            (attempt("ghcr.io", "192.0.2.1", pid=1), 100.0, "skopeo"),
            (attempt("ghcr.io", "2001:db8::1", pid=2), 101.0, "dockerd"),
            (attempt("ghcr.io", "2001:db8::1", pid=2), 102.0, "dockerd"),
            (attempt("ghcr.io", "192.0.2.1", 80), 103.0, "skopeo"),
        ),
        since=0.0,
    )
    shown = [(each.host or str(each.address), each.port, each.packets) for each in found]
    assert shown == [("ghcr.io", 443, 3), ("ghcr.io", 80, 1), ("192.0.2.7", 443, 1)]
    assert (found[0].askers, found[0].last) == (("skopeo", "dockerd"), 102.0)


def test_what_is_long_ago_is_left_out() -> None:
    """An hour, to whoever asks for it."""
    made = records(
        (attempt("old", "192.0.2.1"), 100.0, ""), (attempt("new", "192.0.2.2"), 200.0, "")
    )
    assert [each.host for each in denied_hosts(made, since=100.0)] == ["new"]


def test_another_protocol_is_another_line() -> None:
    """TCP and UDP of one port are told apart, and of many askers the last few are named."""
    names = [f"p{n}" for n in range(MAX_ASKERS + 2)]
    added = [(attempt("a", "192.0.2.1", pid=n), 1.0 + n, name) for n, name in enumerate(names)]
    found = denied_hosts(records(*added, (attempt("a", "192.0.2.1", protocol=UDP), 9.0, "")), 0.0)
    assert [(each.protocol, each.askers) for each in found] == [
        (TCP, tuple(names[-MAX_ASKERS:])),
        (UDP, ()),
    ]
