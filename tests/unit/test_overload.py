"""Floods are told while they last."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from enforcer.core.policy import parse_policy
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.overload import Overload
from enforcer.daemon.problems import Problems
from enforcer.edge.conntrack import room
from tests.unit.at_once import AtOnce

POLICY = parse_policy("version: 1\norganization: unit\nhosts: []\n", "policy")


def test_a_table_of_connections_without_room_is_told_while_it_is(tmp_path: Path) -> None:
    """Any user fills it, and what is permitted fails: `nft list ruleset` shows nothing of that."""
    files = tmp_path / "count", tmp_path / "max"
    files[1].write_text("1000\n")
    problems = Problems()
    datapath = cast("Datapath", SimpleNamespace(programs=SimpleNamespace(stats=Counter)))
    overload = Overload(
        Books(POLICY, problems), datapath, AtOnce(), problems, room=lambda: room(files)
    )
    told = []
    for count in (949, 950, 1000, 10):
        files[0].write_text(f"{count}\n")
        asyncio.run(overload.check(tuple))
        told.append([each.text.partition(",")[0] for each in problems.current()])
    assert told == [[], ["950 connections are tracked"], ["1000 connections are tracked"], []]


def test_where_nothing_is_tracked_there_is_room(tmp_path: Path) -> None:
    """Before the first rule that asks for it, or in a kernel without."""
    assert room((tmp_path / "count", tmp_path / "max")) is None
