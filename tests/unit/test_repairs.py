"""Which repairs are still news."""

from __future__ import annotations

from enforcer.core.repairs import MAX_SHOWN, SHOWN_FOR_S, Repair, Repairs


def test_a_repair_is_shown_for_a_while() -> None:
    """Then only the log has it."""
    repairs = Repairs()
    repairs.add("a chain", now=100.0, at=1e9)
    assert repairs.recent(100.0 + SHOWN_FOR_S - 1) == (Repair("a chain", 1e9, 100.0),)
    assert repairs.recent(100.0 + SHOWN_FOR_S) == ()


def test_a_tool_that_fights_is_one_line() -> None:
    """The same again is counted, and begins anew once it is no news any more."""
    repairs = Repairs()
    for now in (0.0, 5.0, 10.0):
        repairs.add("a chain", now, 1e9 + now)
    assert repairs.recent(10.0) == (Repair("a chain", 1e9 + 10.0, 10.0, times=3),)
    later = 20.0 + SHOWN_FOR_S
    repairs.add("a chain", later, 2e9)
    assert repairs.recent(later) == (Repair("a chain", 2e9, later),)


def test_the_oldest_gives_way() -> None:
    """However many differ, a screen holds what is shown."""
    repairs = Repairs()
    for number in range(MAX_SHOWN + 5):
        repairs.add(f"chain {number}", float(number), 1e9)
    shown = [each.text for each in repairs.recent(20.0)]
    assert shown == [f"chain {number}" for number in range(5, MAX_SHOWN + 5)]
