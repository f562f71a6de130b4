"""Which queries are remembered, for how long, and whose are too many."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

import dns.message
import pytest

from enforcer import abi
from enforcer.abi import Stat
from enforcer.edge.bpf import ById, bpf, info
from enforcer.edge.maps import Map
from enforcer.edge.programs import Programs
from tests.bpf.conftest import RESOLVERS
from tests.bpf.messages import answer, learned, query
from tests.bpf.run import mean_ns, run, udp
from tests.bpf.test_streams import Connection, stream

pytestmark = pytest.mark.root

CLIENT, PORT = "192.0.2.2", 40000
MAP_GET_FD_BY_ID = 14  # enum bpf_cmd of include/uapi/linux/bpf.h
MAX_MAPS = 64


class _ProgramInfo(ctypes.Structure):
    # struct bpf_prog_info up to the ids of its maps.
    _fields_ = (
        ("to_lengths", ctypes.c_uint8 * 48),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
    )


@contextlib.contextmanager
def remembered(programs: Programs) -> Iterator[Map]:
    """Return the map of queries, which is no concern of user space elsewhere."""
    ids = (ctypes.c_uint32 * MAX_MAPS)()
    about = _ProgramInfo(nr_map_ids=MAX_MAPS, map_ids=ctypes.addressof(ids))
    info(programs.dns_query, about)
    sizes = ctypes.sizeof(abi.QueryKey), ctypes.sizeof(abi.Query)
    with contextlib.ExitStack() as stack:
        found = []
        for number in ids[: about.nr_map_ids]:
            fd = bpf(MAP_GET_FD_BY_ID, ById(number))
            stack.callback(os.close, fd)
            found.append(Map("queries", fd))
        (queries,) = (each for each in found if each.sizes == sizes)
        yield queries


def ask(programs: Programs, asked: dns.message.Message) -> None:
    """Let the query leave."""
    run(programs.dns_query, udp(CLIENT, PORT, RESOLVERS[0], 53, asked.to_wire()))


def reply(programs: Programs, answered: dns.message.Message) -> None:
    """Let the answer arrive."""
    run(programs.dns_answer, udp(RESOLVERS[0], 53, CLIENT, PORT, answered.to_wire()))


@pytest.mark.parametrize(("age_s", "expected"), [(-1, True), (1, False)])
def test_an_answer_is_waited_for_for_so_long(
    programs: Programs, age_s: int, *, expected: bool
) -> None:
    """After QUERY_TIMEOUT_S it is nobody's: who guesses its id has no more time than that."""
    asked = query("registry.test")
    ask(programs, asked)
    older_ns = (abi.QUERY_TIMEOUT_S + age_s) * 1_000_000_000
    aged = []
    with remembered(programs) as queries:
        for key, value in queries.items():
            known = abi.Query.from_buffer_copy(value)
            known.time_ns -= older_ns
            aged.append((key, bytes(known)))
        queries.update(aged)
    assert aged
    reply(programs, answer(asked, "registry.test. 60 IN A 203.0.113.1"))
    assert bool(learned(programs)) == expected


def test_a_query_that_is_sent_again_is_one(programs: Programs) -> None:
    """A resolver that is down made an asker of few names one of too many."""
    before = programs.stats()[Stat.EXCESS]
    frame = udp(CLIENT, PORT, RESOLVERS[0], 53, query("registry.test").to_wire())
    mean_ns(programs.dns_query, frame, 4 * abi.MAX_UNANSWERED)
    assert programs.stats()[Stat.EXCESS] == before


def test_four_queries_of_a_segment_are_remembered(programs: Programs) -> None:
    """Of a client that pipelines; more than that have their answers looked up."""
    connection = Connection(programs)
    connection.open()
    asked = []
    for number in range(4):
        asked.append(query("registry.test"))
        asked[-1].id = 1000 + number
    connection.ask(*asked)
    at = 0
    for number, each in enumerate(asked):
        answered = stream(answer(each, f"registry.test. 60 IN A 203.0.113.{number}"))
        connection.arrive(answered, at)
        at += len(answered)
    assert learned(programs) == {(f"203.0.113.{number}", 443) for number in range(4)}
