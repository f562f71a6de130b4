"""Records of denials: one for each asker and destination in ten seconds, never too many."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from enforcer.core.denial_words import as_document
from enforcer.core.denials import MAX_KEPT, WINDOW_S, Attempt, Denial, Denials, Details, Verdict
from enforcer.core.destinations import Destination
from enforcer.core.owners import UNIT, Owner
from enforcer.core.policy import Mode

TO = Destination(ip_address("198.18.0.7"), 6, 443)
CURL = Attempt("ghcr.io", TO, uid=1000, pid=42)
ACME = Verdict("acme", Mode.ENFORCE)
T = 1_790_000_000.0


def counts(denials: Denials) -> list[int]:
    """Return the counts of all records."""
    return [each.count for each in denials]


def test_the_same_within_the_window_is_counted() -> None:
    """Only the first of it is a new record."""
    denials = Denials()
    begun = [denials.add(CURL, ACME, Details, T + second) for second in (0, 1, WINDOW_S - 0.1)]
    assert [each is not None for each in begun] == [True, False, False]
    (denial,) = denials
    assert (denial.count, denial.first, denial.last) == (3, T, T + WINDOW_S - 0.1)


@pytest.mark.parametrize("change", [WINDOW_S, -0.1])
def test_a_window_ends(change: float) -> None:
    """After ten seconds, and when the clock is put back: the next is a record of its own."""
    denials = Denials()
    denials.add(CURL, ACME, Details, T)
    assert denials.add(CURL, ACME, Details, T + change) is not None
    assert counts(denials) == [1, 1]


def test_what_was_denied_is_no_audit_later() -> None:
    """A reload does not change what happened: it is told under the policy that it was."""
    denials = Denials()
    denials.add(CURL, ACME, Details, T)
    assert denials.add(CURL, Verdict("acme", Mode.AUDIT), Details, T + 1) is not None
    assert [as_document(each)["mode"] for each in denials] == ["enforce", "audit"]
    assert "is not allowed" in as_document(next(iter(denials)))["text"]


@pytest.mark.parametrize(
    "other",
    [
        {"host": ""},
        {"destination": replace(TO, port=80)},
        {"destination": replace(TO, protocol=17)},
        {"destination": replace(TO, address=ip_address("198.18.0.8"))},
        {"source": ip_address("172.30.0.2")},
        {"pid": 43},
        {"uid": 1001},
    ],
)
def test_another_asker_or_destination_has_a_record_of_its_own(other: dict[str, Any]) -> None:
    """Whatever differs."""
    denials = Denials()
    denials.add(CURL, ACME, Details, T)
    assert denials.add(replace(CURL, **other), ACME, Details, T) is not None


def test_a_record_with_more_is_told_again_when_its_window_is_over() -> None:
    """And one that stayed alone is not."""
    denials = Denials()
    alone = replace(CURL, pid=43)
    for attempt in (CURL, alone, CURL):
        denials.add(attempt, ACME, Details, T)
    assert denials.next_over() == T + WINDOW_S
    assert denials.over(T + WINDOW_S - 0.1) == ()
    (over,) = denials.over(T + WINDOW_S)
    assert (over.attempt, over.count, over.over) == (CURL, 2, True)
    assert denials.next_over() is None
    assert denials.over(T + 2 * WINDOW_S) == ()


def test_a_window_that_the_next_packet_ends_is_told_too() -> None:
    """The next window began before anybody looked for windows that are over."""
    denials = Denials()
    for second in (0, 1, WINDOW_S):
        denials.add(CURL, ACME, Details, T + second)
    (over,) = denials.over(T + WINDOW_S)
    assert (over.number, over.count) == (1, 2)


def test_whoever_follows_hears_each_beginning_and_each_end_once() -> None:
    """In the order of what happened; growth alone is no news."""
    denials = Denials()
    first = denials.add(CURL, ACME, Details, T)
    denials.add(CURL, ACME, Details, T)
    second = denials.add(replace(CURL, pid=43), ACME, Details, T)
    assert first is not None
    assert [each.number for each in denials.after(0)] == [1, 2]
    seen = denials.revision
    assert denials.after(seen) == ()
    denials.over(T + WINDOW_S)
    (again,) = denials.after(seen)
    assert (again.number, again.count) == (first.number, 2)
    assert second is not None
    assert [each.number for each in denials.after(0)] == [second.number, first.number]


def test_memory_is_bounded_whatever_is_denied() -> None:
    """A scan of many addresses pushes the oldest records out, and what is known of them."""
    denials = Denials()
    base = int(TO.address)
    for number in range(5 * MAX_KEPT):
        address = ip_address(base + number)
        denials.add(replace(CURL, destination=replace(TO, address=address)), ACME, Details, T)
    kept = list(denials)
    assert len(kept) == MAX_KEPT
    assert kept[-1].number == 5 * MAX_KEPT
    assert len(denials.over(T + WINDOW_S)) == 0
    assert denials.next_over() is None
    # One that was pushed out begins anew, as if it had never been.
    assert denials.add(CURL, ACME, Details, T) is not None


def test_since_tells_what_was_added_to_after() -> None:
    """By the last packet, not the first."""
    denials = Denials()
    denials.add(CURL, ACME, Details, T)
    denials.add(replace(CURL, pid=43), ACME, Details, T)
    denials.add(CURL, ACME, Details, T + 5)
    assert [each.attempt.pid for each in denials.since(T + 1)] == [42]


DETAILS = Details("curl", "/usr/bin/curl", Owner("docker", "8c2f" * 16))


POD = Owner("kubernetes", "8c2f" * 16, "0a1b")
TCP4 = "tcp to 198.18.0.7:443"
UDP6 = Destination(ip_address("2001:db8::7"), 17, 443)
BEHIND: dict[str, Any] = {"source": ip_address("172.30.0.2"), "interface": "docker0"}


@pytest.mark.parametrize(
    ("attempt", "details", "what", "to", "who"),
    [
        (
            CURL,
            DETAILS,
            "ghcr.io",
            TCP4,
            ", by curl (pid 42, /usr/bin/curl, uid 1000) of docker container 8c2f8c2f8c2f",
        ),
        (
            CURL,
            Details("curl", owner=Owner(UNIT, "docker.service")),
            "ghcr.io",
            TCP4,
            ", by curl (pid 42, uid 1000) of docker.service",
        ),
        (
            Attempt("", UDP6, uid=0),
            Details(),
            "2001:db8::7",
            "udp to [2001:db8::7]:443",
            ", by uid 0",
        ),
        (
            Attempt("", replace(UDP6, protocol=58, port=0)),
            Details(),
            "2001:db8::7",
            "ipv6-icmp to [2001:db8::7]",
            "",
        ),
        (
            Attempt("", TO, **BEHIND),
            Details(owner=POD),
            "198.18.0.7",
            TCP4,
            ", of kubernetes container 8c2f8c2f8c2f of pod 0a1b from 172.30.0.2 behind docker0",
        ),
    ],
)
def test_a_denial_is_told_in_words(
    attempt: Attempt, details: Details, what: str, to: str, who: str
) -> None:
    """What was asked for leads; then who asked, as far as it is known."""
    denial = Denial(1, 1, attempt, ACME, details, T, T)
    text = as_document(denial)["text"]
    assert text == f"registry access to {what} is not allowed by acme's policy: {to}{who}"


def test_audit_mode_denies_nothing() -> None:
    """And says so."""
    denial = Denial(1, 1, CURL, Verdict("acme", Mode.AUDIT), Details(), T, T)
    text = as_document(denial)["text"]
    assert text.startswith("registry access to ghcr.io would not be allowed by acme's policy")


def test_a_process_can_not_write_on_the_terminal_of_whoever_reads() -> None:
    """A process chooses its name, with escape sequences and line ends if it likes."""
    denial = Denial(1, 1, CURL, ACME, Details("\x1b[2J\nx"), T, T)
    text = as_document(denial)["text"]
    assert text.isprintable()
    assert r"\x1b[2J\nx" in text


def test_a_document_has_all_that_is_known() -> None:
    """A machine need not read the words."""
    denial = Denial(3, 5, CURL, ACME, DETAILS, T, T + 2, count=4, over=True)
    document = as_document(denial)
    assert document.pop("text").endswith("4 packets in 2 s")
    assert document == {
        "number": 3,
        "mode": "enforce",
        "organization": "acme",
        "host": "ghcr.io",
        "address": "198.18.0.7",
        "port": 443,
        "protocol": "tcp",
        "first": "2026-09-21T14:13:20.000+00:00",
        "last": "2026-09-21T14:13:22.000+00:00",
        "count": 4,
        "over": True,
        "uid": 1000,
        "pid": 42,
        "process": "curl",
        "executable": "/usr/bin/curl",
        "unit": None,
        "container": {"runtime": "docker", "id": "8c2f" * 16, "pod": None},
        "source": None,
        "interface": None,
    }
