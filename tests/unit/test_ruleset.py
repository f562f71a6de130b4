"""What the compiler of the ruleset promises for any policy."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

import pytest

from enforcer.core.elements import TimedElement
from enforcer.core.interfaces import DEFAULT_EXEMPT, is_exempt
from enforcer.core.policy import Mode
from enforcer.core.ruleset import (
    FULL,
    Capabilities,
    compile_ruleset,
)
from enforcer.core.sets import SETS


def compiled(
    *,
    mode: Mode = Mode.ENFORCE,
    nonce: int = 0x5EED0001,
    probe: int = 0x5EED0003,
    exempt: tuple[str, ...] = DEFAULT_EXEMPT,
    capabilities: Capabilities = FULL,
    elements: tuple[TimedElement, ...] = (),
) -> str:
    """Return the ruleset of a policy that is plain but for what the test names."""
    return compile_ruleset(
        mode=mode,
        networks=(),
        resolvers=(),
        nonces=(0x5EED0002, nonce),
        probe=probe,
        exempt=exempt,
        uplinks=(),
        capabilities=capabilities,
        elements=elements,
    )


def block(text: str, head: str) -> list[str]:
    """Return the lines of one set or chain."""
    found = re.search(rf"^\t{head} \{{\n(.*?)^\t\}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"no {head}"
    return [line.strip() for line in found[1].splitlines()]


def test_a_table_that_exists_is_replaced() -> None:
    """Deleting comes after declaring, so that the text works whether there is a table or not."""
    assert compiled().splitlines()[:3] == [
        "table inet enforcer",
        "delete table inet enforcer",
        "table inet enforcer {",
    ]


def test_both_families_are_treated_alike() -> None:
    """Exchanging the words of the families changes nothing but the order of lines."""
    text = compiled(
        elements=(TimedElement(ip_address("198.18.0.1"), 443, 1000, "a"),),
    )
    rules = [
        line for chain in ("destinations", "learned") for line in block(text, f"chain {chain}")
    ]
    for four, six in ((SETS[4], SETS[6]), (SETS[6], SETS[4])):
        for line in rules:
            if f"{four.protocol} daddr" in line:
                twin = line.replace(f"{four.protocol} daddr", f"{six.protocol} daddr")
                for name, other in (
                    (four.allow, six.allow),
                    (four.resolvers, six.resolvers),
                ):
                    twin = twin.replace(f"@{name}", f"@{other}")
                assert twin in rules


@pytest.mark.parametrize("nonce", [0, -1, 1 << 32])
def test_a_nonce_that_any_packet_could_have_is_refused(nonce: int) -> None:
    """Packets without a mark have mark 0; a mark has 32 bits."""
    with pytest.raises(ValueError, match="nonce"):
        compiled(nonce=nonce)


@pytest.mark.parametrize("name", ["*", "", "br-*x", "sixteen-letters-", "eth0 accept", 'a"', "a/b"])
def test_a_text_that_is_no_interface_name_is_refused(name: str) -> None:
    """Nothing but a name, or the beginning of one, can be exempt; not everything."""
    with pytest.raises(ValueError, match="interface"):
        compiled(exempt=("lo", name))


@pytest.mark.parametrize("name", ["lo", "br-*", "eth0.100", "wg@x", "fifteen-letters", "a*"])
def test_an_interface_name_becomes_a_rule(name: str) -> None:
    """Each exempt interface has a rule of its own."""
    text = compiled(exempt=(name,))
    assert f'oifname "{name}" goto exempt' in block(text, "chain destinations")
    assert f'iifname "{name}" ct label set 101' in block(text, "chain inside")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("reject", [True, False])
@pytest.mark.parametrize("counter", [True, False])
def test_the_last_verdict_follows_the_mode(mode: Mode, *, reject: bool, counter: bool) -> None:
    """Audit mode accepts at the end of every ruleset, enforce mode never."""
    capabilities = replace(FULL, reject=reject, counter=counter)
    text = compiled(mode=mode, capabilities=capabilities)
    (last,) = {block(text, f"chain {hook}")[-1] for hook in ("output", "forward")}
    *_, verdict = block(text, f"chain {last.removeprefix('goto ')}")
    assert (verdict == "accept") == (mode is Mode.AUDIT)
    assert ("counter name denied" in text) == counter


USED = {"ct": "ct", "ct_label": "ct label", "reject": "reject", "counter": "counter", "log": "log"}


@pytest.mark.parametrize("missing", USED)
def test_a_missing_capability_is_not_used(missing: str) -> None:
    """No rule uses an expression that the kernel lacks."""
    have = {name: name != missing for name in USED}
    text = re.sub(r"#.*", "", compiled(capabilities=Capabilities(**have)))
    used = {name: bool(re.search(rf"\b{USED[name]}\b", text)) for name in have}
    assert used == have | ({"ct_label": False} if missing == "ct" else {})


def test_an_element_keeps_its_milliseconds() -> None:
    """A lifetime is written as it is, in whole seconds only if it is of those."""
    elements = tuple(
        TimedElement(ip_address("198.18.0.1"), port, timeout_ms, "ghcr.io")
        for port, timeout_ms in ((443, 60_000), (80, 60_001))
    )
    assert block(compiled(elements=elements), "set allow4")[-3:-1] == [
        '198.18.0.1 . 80 timeout 60s1ms comment "ghcr.io",',
        '198.18.0.1 . 443 timeout 60s comment "ghcr.io",',
    ]


@pytest.mark.parametrize(
    ("name", "uplinks", "exempt"),
    [
        ("lo", ("eth0",), True),
        ("docker0", ("eth0",), True),
        ("br-1234", ("eth0",), True),
        ("eth0", ("eth0",), False),
        ("br-lan", ("br-lan",), False),
        ("br-1234", ("br-lan",), True),
        ("docker1", ("eth0",), False),
    ],
)
def test_an_uplink_is_never_exempt(name: str, uplinks: tuple[str, ...], exempt: bool) -> None:
    """Container bridges are, unless the default route leads over one of that name."""
    assert is_exempt(name, DEFAULT_EXEMPT, uplinks) is exempt
