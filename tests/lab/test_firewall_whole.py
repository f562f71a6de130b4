"""Whether the table is there, and what it is, whatever it holds."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.core.policy import Mode
from enforcer.core.ruleset import FULL, Capabilities
from tests.lab.guarded import Host, element

pytestmark = pytest.mark.root


def test_a_full_table_is_judged_whole_at_once(host: Host) -> None:
    """Whether it is there, and what it is, does not take a walk over its elements.

    `nft list tables inet` reads all of them: it took 1.3 s every five seconds.
    """
    full = [element(f"10.0.{n >> 8}.{n & 255}", comment="x" * 90) for n in range(1, 20_001)]
    host.enforce(*full)
    assert not host.namespace.call(lambda: host.firewall.edited(None))
    started = time.monotonic()
    summary = host.namespace.call(host.firewall.summary)
    summary_s = time.monotonic() - started
    started = time.monotonic()
    listed = host.inspect()
    inspect_s = time.monotonic() - started
    assert summary == replace(listed, elements=())
    assert len(listed.elements) == len(full)
    assert summary_s < inspect_s / 2


@pytest.mark.parametrize("chain", ["output", "forward", "input"])
def test_a_table_without_a_base_chain_is_not_whole(host: Host, chain: str) -> None:
    """It looks like a firewall and lets everything pass, or believes every reply.

    One without `input` was taken for whole: connections that began on a bridge were no
    longer labelled, and what followed them left the machine as established.
    """

    def edited() -> tuple[str, ...]:
        return host.namespace.call(lambda: host.firewall.edited(None))

    host.enforce()
    assert not edited()
    host.namespace.nft(f"delete chain inet enforcer {chain}")
    assert f"chain {chain}" in edited()
    assert host.namespace.call(host.firewall.judges) is (chain == "input")
    assert host.inspect().present
    assert host.inspect().missing == (chain,)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "capabilities", [FULL, *(replace(FULL, **{name: False}) for name in vars(FULL))], ids=repr
)
def test_no_ruleset_of_ours_is_taken_for_one_that_lets_pass(
    host: Host, mode: Mode, capabilities: Capabilities
) -> None:
    """Whatever the kernel lacks; and each is, once a chain that must deny is flushed."""
    host.enforce(mode=mode, capabilities=capabilities)
    assert host.inspect().passing == ()
    host.namespace.nft("flush chain inet enforcer forward")
    assert host.inspect().passing == ("forward",)
    assert host.namespace.call(lambda: host.firewall.edited(None)) == ("chain forward",)


def test_names_in_tables_of_others_keep_nobody_from_ours(host: Host, tmp_path: Path) -> None:
    """Of a name that is not UTF-8 nft makes no JSON: no start and no `off` got past it."""
    host.enforce()
    other = tmp_path / "other.nft"
    other.write_bytes(b'table inet lab_other { chain c { iifname "b\374ro" accept; }; }\n')
    host.namespace.run("nft", "-f", str(other))
    firewall = host.firewall
    try:
        assert host.namespace.call(firewall.summary).mode is Mode.ENFORCE
        assert host.namespace.call(firewall.enforces)
        assert host.namespace.call(firewall.present)
        assert host.namespace.call(firewall.denied) == 0
    finally:
        host.namespace.nft("delete table inet lab_other")


def test_a_table_that_enforces_is_told_from_one_that_counts_and_from_none(host: Host) -> None:
    """By its chains, without a look at all rules of everybody."""
    firewall, told = host.firewall, []
    for change in (None, Mode.AUDIT, Mode.ENFORCE):
        if change is not None:
            host.enforce(mode=change)
        told.append(tuple(map(host.namespace.call, (firewall.present, firewall.enforces))))
    assert told == [(False, False), (True, False), (True, True)]
