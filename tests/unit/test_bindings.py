"""What is open until when: laws against a naive model, and the cases that made them."""

from __future__ import annotations

import gc
import ipaddress
import math
import weakref
from collections.abc import Iterable

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.bindings import Bindings
from enforcer.core.changes import Change, Element
from enforcer.core.grants import Grant, Grants
from enforcer.core.hostname import parse_pattern
from enforcer.core.hosts import Host
from enforcer.core.promises import (
    MAX_PROMISES,
    MAX_SHOWN,
    REWRITE_SLACK_S,
    UNKNOWN_HOST,
    Origin,
    Promises,
)

MIN_TTL_S = 60
GRACE_S = 300


def grants(*hosts: str, ports: tuple[int, ...] = (443,), private: bool = False) -> Grants:
    """Return grants for *hosts*, all alike."""
    return Grants(Host(parse_pattern(host), ports, private, "hosts") for host in hosts)


def bindings(capacity: int = 1000) -> Bindings:
    """Return empty bindings with the default lifetimes."""
    return Bindings(min_ttl_s=MIN_TTL_S, grace_s=GRACE_S, capacity=capacity)


def observe(
    to: Bindings,
    host: str,
    addresses: Iterable[str],
    now: float,
    *,
    ttl_s: int = 0,
    ports: tuple[int, ...] = (443,),
    private: bool = False,
    origin: Origin = Origin.ANSWER,
    own: Iterable[str] = (),
) -> Change:
    """Let *to* observe that *host* was answered with *addresses*."""
    answer = Answer(
        dns.name.from_text(host), tuple(map(address, addresses)), ttl_s, truncated=False
    )
    grant = Grant(parse_pattern(host), ports, private)
    return to.observe(answer, grant, now, origin=origin, own=frozenset(map(address, own)))


def address(text: str) -> Address:
    """Return *text* as an address."""
    return ipaddress.ip_address(text)


def targets(elements: Iterable[Element]) -> list[tuple[str, int]]:
    """Return the addresses and ports of *elements*, sorted."""
    return sorted((str(e.address), e.port) for e in elements)


def test_an_answer_opens_its_addresses_at_the_granted_ports() -> None:
    """Every address at every port, for the host that was asked for."""
    change = observe(
        bindings(), "ghcr.io", ["198.18.0.1", "2001:db8::1"], 1000.0, ports=(443, 5000)
    )
    assert targets(change.rewrite) == [
        ("198.18.0.1", 443),
        ("198.18.0.1", 5000),
        ("2001:db8::1", 443),
        ("2001:db8::1", 5000),
    ]
    assert {e.hosts for e in change.rewrite} == {("ghcr.io",)}
    assert change.delete == ()
    assert change.refused == ()


@pytest.mark.parametrize(
    ("ttl_s", "lifetime_s"), [(0, 360), (59, 360), (60, 360), (61, 361), (3600, 3900)]
)
def test_a_lifetime_is_the_ttl_or_the_floor_and_the_grace(ttl_s: int, lifetime_s: int) -> None:
    """max(TTL, 60 s) + 300 s: what `hosts` shows; the kernel is told the slack more."""
    held = bindings()
    change = observe(held, "ghcr.io", ["198.18.0.1"], 1000.0, ttl_s=ttl_s)
    assert [b.expires for b in held.hosts(1000.0)] == [1000 + lifetime_s]
    assert [e.expires for e in change.rewrite] == [1000 + lifetime_s + REWRITE_SLACK_S]


def test_a_hundred_answers_a_second_are_one_write_a_second() -> None:
    """The kernel is told of a prolongation only when the slack is used up."""
    held = bindings()
    changes = [observe(held, "ghcr.io", ["198.18.0.1"], i / 100) for i in range(100 * 120)]
    writes = [c for c in changes if c.rewrite]
    assert 0.9 < len(writes) * REWRITE_SLACK_S / 120 <= 1


def test_a_shorter_answer_takes_nothing_away() -> None:
    """An address keeps the longest remaining lifetime of the answers that named it."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0, ttl_s=3600)
    assert observe(held, "ghcr.io", ["198.18.0.1"], 10.0, ttl_s=5) == Change()
    assert [b.expires for b in held.hosts(10.0)] == [3900]


def test_a_shared_address_names_its_hosts_longest_lived_first() -> None:
    """The comment of an element says whom it is for, as far as there is room."""
    held = bindings()
    for i in range(10):
        change = observe(held, f"host{i}.example", ["198.18.0.1"], 0.0, ttl_s=1000 + 100 * i)
    (element,) = change.rewrite
    assert element.hosts == tuple(f"host{i}.example" for i in range(9, 9 - MAX_SHOWN, -1))


def test_a_new_host_of_a_known_address_is_named() -> None:
    """The element lasts long enough already; it is written for the name's sake."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0, ttl_s=3600)
    (element,) = observe(held, "quay.io", ["198.18.0.1"], 1.0).rewrite
    assert element.hosts == ("ghcr.io", "quay.io")
    assert element.expires == 3900 + REWRITE_SLACK_S


def test_a_flood_of_names_at_one_address_is_bounded() -> None:
    """Anyone may ask for names below a wildcard: neither memory nor writes follow."""
    held = bindings()
    names = 4 * MAX_PROMISES
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0, ttl_s=3600)
    changes = [observe(held, f"n{i}.pkg.dev", ["198.18.0.1"], i / 1000) for i in range(names)]
    assert len([c for c in changes if c.rewrite]) == MAX_SHOWN - 1
    shown = [b.host for b in held.hosts(1.0)]
    assert len(shown) == MAX_PROMISES
    assert "ghcr.io" in shown  # the longest-lived stay
    assert len(held) == 1


def test_a_host_whose_promise_has_ended_is_not_named() -> None:
    """An element that lives on for another host's sake names that host alone."""
    held = bindings()
    observe(held, "quay.io", ["198.18.0.1"], 0.0)
    observe(held, "ghcr.io", ["198.18.0.1"], 300.0)
    (element,) = observe(held, "ghcr.io", ["198.18.0.1"], 600.0).rewrite
    assert element.hosts == ("ghcr.io",)


REFUSED = {
    "private": ("10.1.2.3", (), "which is private"),
    "unique local": ("fd00::1", (), "which is private"),
    "loopback": ("127.0.0.1", (), "never learned"),
    "metadata service": ("169.254.169.254", (), "never learned"),
    "mapped": ("::ffff:c612:1", (), "never learned"),
    "own": ("198.18.0.9", ("198.18.0.9",), "never learned"),
    "own and private": ("10.0.0.9", ("10.0.0.9",), "never learned"),
}


@pytest.mark.parametrize(("named", "own", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_what_may_not_be_learned_is_reported(named: str, own: tuple[str, ...], reason: str) -> None:
    """The rest of the answer counts; the refusal says what to do about it."""
    held = bindings()
    change = observe(held, "registry.corp.example", [named, "198.18.0.1"], 0.0, own=own)
    assert targets(change.rewrite) == [("198.18.0.1", 443)]
    (refusal,) = change.refused
    assert str(refusal).startswith(f"registry.corp.example answered {address(named)}, which is")
    assert reason in str(refusal)
    assert (refusal.hint is None) == ("never" in reason)
    assert targets(held.elements(0.0)) == [("198.18.0.1", 443)]


def test_a_private_host_may_have_private_addresses_and_no_others() -> None:
    """`private: true` opens RFC 1918, ULA and CGNAT, never the machine itself."""
    change = observe(
        bindings(), "registry.corp.example", ["10.1.2.3", "127.0.0.1"], 0.0, private=True
    )
    assert targets(change.rewrite) == [("10.1.2.3", 443)]
    assert [str(r.address) for r in change.refused] == ["127.0.0.1"]


def test_an_element_is_forgotten_when_the_kernel_drops_it() -> None:
    """Not before its end, slack included, and not after."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    end = MIN_TTL_S + GRACE_S + REWRITE_SLACK_S
    assert len(held.elements(math.nextafter(end, 0))) == 1
    assert held.elements(end) == ()
    assert len(held) == 0


def test_an_expired_address_is_written_again_when_it_is_answered_again() -> None:
    """A forgotten element is a new one."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    (element,) = observe(held, "ghcr.io", ["198.18.0.1"], 10_000.0).rewrite
    assert element.expires == 10_000 + MIN_TTL_S + GRACE_S + REWRITE_SLACK_S


def test_a_zero_lifetime_is_no_error() -> None:
    """A policy without floor and grace, and an answer without TTL: the slack alone."""
    held = Bindings(min_ttl_s=0, grace_s=0, capacity=10)
    (element,) = observe(held, "ghcr.io", ["198.18.0.1"], 5.0).rewrite
    assert element.expires == 5 + REWRITE_SLACK_S


def test_a_full_table_gives_up_what_ends_first() -> None:
    """The evicted elements are returned, because the kernel still has them."""
    held = bindings(capacity=3)
    observe(held, "long.example", ["198.18.0.1"], 0.0, ttl_s=9000)
    observe(held, "short.example", ["198.18.0.2", "198.18.0.3"], 0.0, ttl_s=100)
    observe(held, "short.example", ["198.18.0.2"], 0.0, ttl_s=8000)
    change = observe(held, "new.example", ["198.18.0.4"], 0.0, ttl_s=500)
    assert targets(change.rewrite) == [("198.18.0.4", 443)]
    assert targets(change.delete) == [("198.18.0.3", 443)]
    assert targets(held.elements(0.0)) == [
        ("198.18.0.1", 443),
        ("198.18.0.2", 443),
        ("198.18.0.4", 443),
    ]
    assert held.gave_way == 1


def test_hosts_says_who_holds_what_and_where_it_was_learned() -> None:
    """One line for each host and address, with all its ports; families do not mix."""
    held = bindings()
    observe(held, "quay.io", ["198.18.0.2"], 0.0, ports=(443, 80))
    observe(held, "ghcr.io", ["2001:db8::1", "198.18.0.10", "198.18.0.2"], 1.0, ttl_s=100)
    observe(held, "ghcr.io", ["198.18.0.2"], 2.0, origin=Origin.RESOLVER)
    shown = [
        (b.host, str(b.address), b.ports, b.expires, [o.value for o in b.origins])
        for b in held.hosts(3.0)
    ]
    assert shown == [
        ("ghcr.io", "198.18.0.2", (443,), 401, ["answer", "resolver"]),
        ("ghcr.io", "198.18.0.10", (443,), 401, ["answer"]),
        ("ghcr.io", "2001:db8::1", (443,), 401, ["answer"]),
        ("quay.io", "198.18.0.2", (80, 443), 360, ["answer"]),
    ]
    assert [b.host for b in held.hosts(360.0)] == ["ghcr.io"] * 3


def test_another_policy_closes_what_it_does_not_permit() -> None:
    """A removed host loses its addresses, except those that another host holds."""
    held = bindings()
    observe(held, "gone.example", ["198.18.0.1", "198.18.0.2"], 0.0, ttl_s=9000)
    observe(held, "stays.example", ["198.18.0.2", "198.18.0.3"], 0.0)
    change = held.retain(grants("stays.example"), 1.0, min_ttl_s=0, grace_s=0)
    assert targets(change.delete) == [("198.18.0.1", 443)]
    (element,) = change.rewrite
    assert element == Element(address("198.18.0.2"), 443, 360 + REWRITE_SLACK_S, ("stays.example",))
    assert targets(held.elements(1.0)) == [("198.18.0.2", 443), ("198.18.0.3", 443)]


def test_the_same_policy_again_changes_nothing() -> None:
    """A reload without a difference writes nothing to the kernel."""
    held = bindings()
    observe(held, "a.pkg.dev", ["198.18.0.1"], 0.0)
    observe(held, "ghcr.io", ["198.18.0.1", "198.18.0.2"], 0.0)
    before = held.elements(1.0)
    policy = grants("*.pkg.dev", "ghcr.io")
    assert held.retain(policy, 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S) == Change()
    assert held.elements(1.0) == before


def test_ports_follow_the_policy() -> None:
    """Known addresses open at a new port at once and close at a removed one."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0, ports=(443, 80))
    policy = grants("ghcr.io", ports=(443, 5000))
    change = held.retain(policy, 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    assert targets(change.rewrite) == [("198.18.0.1", 5000)]
    assert targets(change.delete) == [("198.18.0.1", 80)]
    assert {e.expires for e in held.elements(1.0)} == {360 + REWRITE_SLACK_S}


def test_a_host_that_is_no_longer_private_loses_private_addresses() -> None:
    """Its public ones stay."""
    held = bindings()
    observe(held, "corp.example", ["10.0.0.1", "198.18.0.1"], 0.0, private=True)
    change = held.retain(grants("corp.example"), 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    assert targets(change.delete) == [("10.0.0.1", 443)]
    assert targets(held.elements(1.0)) == [("198.18.0.1", 443)]


def test_new_ports_make_room_for_themselves() -> None:
    """A reload can't exceed the capacity either; what goes is deleted."""
    held = bindings(capacity=2)
    observe(held, "a.example", ["198.18.0.1"], 0.0, ttl_s=100)
    observe(held, "a.example", ["198.18.0.2"], 0.0, ttl_s=200)
    policy = grants("a.example", ports=(443, 5000))
    change = held.retain(policy, 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    assert targets(change.rewrite) == [("198.18.0.2", 5000)]
    assert ("198.18.0.1", 443) in targets(change.delete)
    assert targets(held.elements(1.0)) == [("198.18.0.2", 443), ("198.18.0.2", 5000)]


def test_a_reload_prolongs_nothing_that_has_ended() -> None:
    """In the slack after its promise an element is left to the kernel, or deleted."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    after = MIN_TTL_S + GRACE_S + REWRITE_SLACK_S / 2
    change = held.retain(grants("ghcr.io", ports=(5000,)), after, min_ttl_s=60, grace_s=300)
    assert change.rewrite == ()
    assert targets(change.delete) == [("198.18.0.1", 443)]
    assert held.elements(after) == ()


def test_elements_expire_in_order_after_a_reload() -> None:
    """The one that ends first is found first, whatever the order it was learned in."""
    held = bindings()
    for i, ttl_s in enumerate([900, 500, 700, 300, 100]):
        observe(held, "ghcr.io", [f"198.18.0.{i}"], 0.0, ttl_s=ttl_s)
    held.retain(grants("ghcr.io"), 0.0, min_ttl_s=60, grace_s=300)
    left = [len(held.elements(t + GRACE_S + REWRITE_SLACK_S)) for t in (100, 300, 500, 700, 900)]
    assert left == [4, 3, 2, 1, 0]


def test_what_the_kernel_was_told_is_resumed_only_if_it_lasts_long_enough() -> None:
    """The element of a host whose promise has grown since is written again."""
    old, new = Promises(), Promises()
    old.add("ghcr.io", 100.0, frozenset(), 0.0)
    old.write(0.0)
    new.add("ghcr.io", 100.0 + REWRITE_SLACK_S, frozenset(), 0.0)
    assert new.resume(old)
    new.add("ghcr.io", 101.0 + REWRITE_SLACK_S, frozenset(), 0.0)
    assert not new.resume(old)


def test_later_answers_get_the_lifetimes_of_the_new_policy() -> None:
    """What was promised stays; the new floor and grace count from the next answer."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    held.retain(grants("ghcr.io"), 0.0, min_ttl_s=100, grace_s=1)
    observe(held, "ghcr.io", ["198.18.0.2"], 0.0)
    assert {str(b.address): b.expires for b in held.hosts(0.0)} == {
        "198.18.0.1": 360,
        "198.18.0.2": 101,
    }


def test_what_a_reload_replaces_goes_without_the_collector() -> None:
    """It leaves what was there at a reload alone: full books were kept, for ever, at each."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    gc.disable()
    try:
        ends, shares = weakref.ref(held.mark().ends), weakref.ref(held.mark().shares)
        held.retain(grants("ghcr.io"), 0.0, min_ttl_s=60, grace_s=300)
        assert (ends(), shares()) == (None, None)
        last = weakref.ref(held)
        del held
        assert last() is None
    finally:
        gc.enable()


class KernelMachine(RuleBasedStateMachine):
    """Answers, reloads and time, against a kernel that does what it is told.

    The model keeps what each (host, address) was promised and asks the policy
    anew at every step.
    """

    hosts = st.sampled_from(["a.example", "b.example", "x.wild.example", "y.wild.example"])
    addresses = st.sampled_from(["198.18.0.1", "198.18.0.2", "2001:db8::1", "10.0.0.1"])
    patterns = st.sampled_from(["a.example", "b.example", "*.wild.example"])

    @initialize(min_ttl_s=st.sampled_from([0, 60]), grace_s=st.sampled_from([0, 40]))
    def start(self, min_ttl_s: int, grace_s: int) -> None:
        """Begin with everything permitted and nothing known."""
        self.now = 0.0
        self.min_ttl_s, self.grace_s = min_ttl_s, grace_s
        self.held = Bindings(min_ttl_s=min_ttl_s, grace_s=grace_s, capacity=1000)
        self.policy = grants("a.example", "b.example", "*.wild.example")
        self.promised: dict[tuple[str, str], float] = {}
        self.kernel: dict[tuple[str, int], Element] = {}

    @rule(seconds=st.integers(1, 300))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(host=hosts, named=st.lists(addresses, max_size=3), ttl_s=st.integers(0, 300))
    def answer(self, host: str, named: list[str], ttl_s: int) -> None:
        """Observe an answer, if the policy permits the host."""
        grant = self.policy.match(dns.name.from_text(host))
        if grant is None:
            return
        qname = dns.name.from_text(host)
        message = Answer(qname, tuple(map(address, named)), ttl_s, truncated=False)
        self.tell(self.held.observe(message, grant, self.now, origin=Origin.ANSWER))
        for text in named:
            if self.ports(host, text):
                end = self.now + max(ttl_s, self.min_ttl_s) + self.grace_s
                self.promised[host, text] = max(self.promised.get((host, text), 0.0), end)

    @rule(
        permitted=st.sets(patterns),
        ports=st.sampled_from([(443,), (80, 443)]),
        private=st.booleans(),
    )
    def reload(self, permitted: set[str], ports: tuple[int, ...], private: bool) -> None:
        """Change the policy."""
        self.policy = grants(*sorted(permitted), ports=ports, private=private)
        self.tell(
            self.held.retain(self.policy, self.now, min_ttl_s=self.min_ttl_s, grace_s=self.grace_s)
        )
        self.promised = {k: end for k, end in self.promised.items() if self.ports(*k)}

    def tell(self, change: Change) -> None:
        """Do in the kernel what *change* says, after what time has done there."""
        self.drop_expired()
        for element in change.delete:
            del self.kernel[str(element.address), element.port]
        for element in change.rewrite:
            self.kernel[str(element.address), element.port] = element

    def drop_expired(self) -> None:
        """Let the kernel drop what has ended."""
        self.kernel = {k: e for k, e in self.kernel.items() if e.expires > self.now}

    def ports(self, host: str, text: str) -> tuple[int, ...]:
        """Return the ports at which the policy lets *host* have the address *text*."""
        grant = self.policy.match(dns.name.from_text(host))
        return grant.ports if grant and (grant.private or text != "10.0.0.1") else ()

    @invariant()
    def kernel_holds_what_was_promised_and_little_more(self) -> None:
        """Nothing leaves before its longest promise, or stays longer than the slack."""
        self.drop_expired()
        longest: dict[tuple[str, int], float] = {}
        for (host, text), end in self.promised.items():
            for port in self.ports(host, text):
                longest[text, port] = max(longest.get((text, port), 0.0), end)
        assert {target for target, end in longest.items() if end > self.now} <= self.kernel.keys()
        for (text, port), element in self.kernel.items():
            end = longest[text, port]
            assert end <= element.expires <= end + REWRITE_SLACK_S
            assert all((host, text) in self.promised for host in element.hosts)

    @invariant()
    def bindings_know_what_the_kernel_holds(self) -> None:
        """The elements are those of the kernel, with their ends and hosts."""
        self.drop_expired()
        elements = self.held.elements(self.now)
        assert {(str(e.address), e.port): e for e in elements} == self.kernel
        assert len(elements) == len(self.held) == len(self.kernel)


test_the_kernel_holds_what_was_promised_and_little_more = KernelMachine.TestCase


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 1000), st.integers(0, 100)), max_size=60
    ),
    capacity=st.integers(1, 5),
)
def test_the_capacity_is_never_exceeded(steps: list[tuple[int, int, int]], capacity: int) -> None:
    """What the kernel holds after each change is at most the capacity, and the longest-lived."""
    held = bindings(capacity)
    kernel: dict[tuple[str, int], float] = {}
    now = 0.0
    for last, ttl_s, wait_s in steps:
        now += wait_s
        change = observe(held, "a.example", [f"198.18.0.{last}"], now, ttl_s=ttl_s)
        kernel |= {(str(e.address), e.port): e.expires for e in change.rewrite}
        for element in change.delete:
            gone = kernel.pop((str(element.address), element.port), now)
            assert all(gone <= end for end in kernel.values() if end > now)
        kernel = {target: end for target, end in kernel.items() if end > now}
        assert len(kernel) == len(held) <= capacity
        assert kernel == {(str(e.address), e.port): e.expires for e in held.elements(now)}


def test_what_the_kernel_learned_alone_is_adopted_to_its_end() -> None:
    """Without a host: its answer's event was lost; the next answer tells whose it is."""
    held = bindings()
    key = address("198.18.0.1"), 443
    (element,) = held.adopt({key: 500.0}, 0.0).rewrite
    assert (element.hosts, element.expires) == ((UNKNOWN_HOST,), 500.0 + REWRITE_SLACK_S)
    observe(held, "ghcr.io", ["198.18.0.1"], 1.0, ttl_s=3600)
    assert [b.host for b in held.hosts(1.0)] == [UNKNOWN_HOST, "ghcr.io"]
    assert [b.host for b in held.hosts(501.0)] == ["ghcr.io"]


def test_what_is_known_is_not_adopted() -> None:
    """Past, known for as long, and never to be learned: no change. A later end is one."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    (known,) = held.elements(0.0)
    own = frozenset({address("198.18.0.9")})
    learned = {
        (address("198.18.0.1"), 443): known.expires,
        (address("198.18.0.2"), 443): 1.0,
        (address("198.18.0.9"), 443): 500.0,
        (address("127.0.0.1"), 443): 500.0,
    }
    assert held.adopt(learned, 1.0, own=own) == Change()
    (later,) = held.adopt({(address("198.18.0.1"), 443): 500.0}, 1.0).rewrite
    assert set(later.hosts) == {UNKNOWN_HOST, "ghcr.io"}


def test_what_was_adopted_does_not_outlive_another_policy() -> None:
    """Nobody can tell whether the new one permits it."""
    held = bindings()
    held.adopt({(address("198.18.0.1"), 443): 500.0}, 0.0)
    change = held.retain(grants("*.pkg.dev", "ghcr.io"), 1.0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)
    assert targets(change.delete) == [("198.18.0.1", 443)]


def test_what_gives_way_is_counted() -> None:
    """By answers and by what is adopted, and not by what ends."""
    held = bindings(capacity=2)
    observe(held, "ghcr.io", ["198.18.0.1", "198.18.0.2"], 0.0, ttl_s=100)
    assert held.gave_way == 0
    change = observe(held, "ghcr.io", ["198.18.0.3"], 0.0, ttl_s=200)
    assert (held.gave_way, len(change.delete)) == (1, 1)
    adopted = held.adopt({(address("198.18.0.4"), 443): 450.0}, 0.0)
    assert (held.gave_way, len(adopted.delete)) == (2, 1)
    held.expire(1000.0)
    assert held.gave_way == 2
