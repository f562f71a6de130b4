"""What the kernel learns from DNS over TCP, however the stream is cut into segments."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.rdatatype
import pytest
from dns.rdatatype import RdataType

from enforcer.edge.programs import Event, Programs
from tests.bpf.conftest import RESOLVERS
from tests.bpf.messages import answer, learned, query
from tests.bpf.run import TcpFlag, run, tcp, udp

pytestmark = pytest.mark.root

CLIENTS = {4: "192.0.2.2", 6: "2001:db8::2"}
PORT = 40053
START = 1000
MAX_STREAMS = 4096  # stream.h
A, AAAA = ("203.0.113.1", 443), ("2001:db8:1::1", 443)
OTHER = ("203.0.113.2", 443)


@dataclass(frozen=True)
class Connection:
    """A client's connection to a resolver, as this machine's interface sees it.

    Attributes:
        start: the number of the resolver's SYN: its first byte has the next one.
    """

    programs: Programs
    family: int = 4
    start: int = START

    @property
    def ends(self) -> tuple[str, str]:
        """The addresses of client and resolver."""
        return CLIENTS[self.family], RESOLVERS[0 if self.family == 4 else 1]

    def open(self, flags: TcpFlag = TcpFlag.SYN | TcpFlag.ACK) -> None:
        """Let the resolver's SYN-ACK arrive."""
        client, resolver = self.ends
        options = bytes.fromhex("020405b4")
        frame = tcp(resolver, 53, client, PORT, sequence=self.start, flags=flags, options=options)
        run(self.programs.dns_answer, frame)

    def ask(self, *queries: dns.message.Message) -> None:
        """Let queries leave in one segment."""
        self.send(stream(*queries))

    def send(self, data: bytes) -> None:
        """Let a segment of the client leave."""
        client, resolver = self.ends
        run(self.programs.dns_query, tcp(client, PORT, resolver, 53, data))

    def arrive(self, data: bytes, at: int, padding: bytes = b"") -> None:
        """Let a segment of the resolver arrive whose first byte is number *at* of the stream."""
        client, resolver = self.ends
        options = bytes.fromhex("0101080a0000000000000000")
        frame = tcp(resolver, 53, client, PORT, data, sequence=self.start + 1 + at, options=options)
        run(self.programs.dns_answer, frame + padding)


def stream(*messages: dns.message.Message | bytes) -> bytes:
    """Return messages as TCP carries them, each after its length."""
    wires = [m if isinstance(m, bytes) else m.to_wire() for m in messages]
    return b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires)


def segments(data: bytes, *cuts: int) -> list[tuple[int, bytes]]:
    """Return *data* cut at *cuts*, each piece with its place."""
    ends = [0, *cuts, len(data)]
    return [(i, data[i:j]) for i, j in itertools.pairwise(ends)]


def ask_a() -> tuple[dns.message.QueryMessage, dns.message.Message]:
    """Return a query for a permitted name and its answer."""
    asked = query("registry.test")
    return asked, answer(asked, f"registry.test. 60 IN A {A[0]}")


def ask_aaaa() -> tuple[dns.message.QueryMessage, dns.message.Message]:
    """Return the other query that clients make at once, and its answer."""
    asked = query("registry.test", "AAAA")
    asked.id = 0x4321
    return asked, answer(asked, f"registry.test. 60 IN AAAA {AAAA[0]}")


def passed_on(events: tuple[Event, ...]) -> dict[RdataType, str]:
    """Return what user space heard of: types asked for, and how whole the messages are."""
    heard = {}
    for event in events:
        try:
            message = dns.message.from_wire(event.wire, question_only=True)
        except dns.exception.FormError:  # cut inside the question: user space can't use it either
            assert event.cut
            continue
        kind = "cut" if event.cut else "unusual" if event.unusual else "plain"
        heard[message.question[0].rdtype] = kind
    return heard


@pytest.mark.parametrize("family", [4, 6])
def test_an_answer_in_one_segment_is_learned(programs: Programs, family: int) -> None:
    """A query and its answer, each with its length, each in a segment."""
    asked, answered = ask_a()
    connection = Connection(programs, family)
    connection.open()
    connection.ask(asked)
    connection.arrive(stream(answered), 0)
    assert learned(programs) == {A}
    (event,) = programs.drain()
    assert (event.wire, event.unusual, event.cut) == (answered.to_wire(), False, False)


def test_answers_one_after_the_other_are_learned(programs: Programs) -> None:
    """Glibc asks for A and AAAA in one segment; servers answer in two."""
    (asked, first), (also_asked, second) = ask_a(), ask_aaaa()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked, also_asked)
    connection.arrive(stream(first), 0)
    connection.arrive(stream(second), len(stream(first)))
    assert learned(programs) == {A, AAAA}
    assert passed_on(programs.drain()) == {RdataType.A: "plain", RdataType.AAAA: "plain"}


def test_of_several_answers_in_a_segment_the_first_is_learned_and_all_are_passed_on(
    programs: Programs,
) -> None:
    """The others reach user space whole, which learns them."""
    (asked, first), (also_asked, second) = ask_a(), ask_aaaa()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked, also_asked)
    not_permitted = query("other.test")
    not_permitted.id = 0x9999
    other = answer(not_permitted, "other.test. 60 IN A 203.0.113.9")
    connection.arrive(stream(other, b"", first, second), 0)
    assert learned(programs) == {A}
    assert passed_on(programs.drain()) == {RdataType.A: "plain", RdataType.AAAA: "unusual"}


def expected(pieces: list[tuple[int, bytes]], first: int) -> tuple[set[tuple[str, int]], bool]:
    """Return what is to be learned of two messages, the first *first* octets long with its length.

    Also whether the boundary is lost: a segment ends between two octets of a length.
    """
    found, lost = set(), False
    total = sum(len(piece) for _, piece in pieces)
    for at, piece in pieces:
        end = at + len(piece)
        whole = []
        for message, start, stop in ((A, 0, first), (AAAA, first, total)):
            if (at <= start or at == start + 2) and stop <= end and not lost:
                whole.append(message)
            if end == start + 1 and end != total:
                lost = True
        found |= set(whole[:1])
    return found, lost


@pytest.mark.parametrize("start", [START, 2**32 - 1, 2**32 - 40])
@pytest.mark.parametrize("ending", [None, *range(8)])
def test_messages_are_learned_whole_or_not_at_all(
    programs: Programs, start: int, ending: int | None
) -> None:
    """Two answers cut at every place into two and three segments, also where numbers wrap.

    *ending* is what of a third segment's place modulo 8 makes it this test's; None: two
    segments.
    """
    (asked, first), (also_asked, second) = ask_a(), ask_aaaa()
    data, boundary = stream(first, second), len(stream(first))
    question = 2 + len(asked.to_wire())
    connection = Connection(programs, start=start)
    pairs = itertools.combinations(range(1, len(data)), 2)
    cuts = (
        [(place,) for place in range(1, len(data))]
        if ending is None
        else [pair for pair in pairs if pair[1] % 8 == ending]
    )
    for places in cuts:
        connection.open()
        connection.ask(asked, also_asked)
        pieces = segments(data, *places)
        for at, piece in pieces:
            connection.arrive(piece, at)
        found, lost = expected(pieces, boundary)
        assert learned(programs) == found, places
        heard = passed_on(programs.drain())
        for kind, begin, pair in ((RdataType.A, 0, A), (RdataType.AAAA, boundary, AAAA)):
            if pair in found:
                assert heard[kind] == "plain", places
            elif not lost and not any(begin < place < begin + question for place in places):
                assert heard[kind] in ("cut", "unusual"), places
        programs.forget(programs.learned())


def test_segments_out_of_order_are_learned_as_far_as_they_can_be(programs: Programs) -> None:
    """What comes too early is for user space; what fills the gap is learned."""
    (asked, first), (also_asked, second) = ask_a(), ask_aaaa()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked, also_asked)
    connection.arrive(stream(second), len(stream(first)))
    assert learned(programs) == set()
    assert passed_on(programs.drain()) == {RdataType.AAAA: "cut"}
    connection.arrive(stream(first), 0)
    assert learned(programs) == {A}
    connection.ask(also_asked)
    connection.arrive(stream(second), len(stream(first)))
    assert learned(programs) == {A, AAAA}


def test_a_repeated_segment_is_not_learned_again(programs: Programs) -> None:
    """What was before the boundary stays there, also if it says something else now."""
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked)
    connection.arrive(stream(answered), 0)
    connection.ask(asked)
    other = answer(asked, f"registry.test. 60 IN A {OTHER[0]}")
    connection.arrive(stream(other), 0)
    assert learned(programs) == {A}
    assert len(programs.drain()) == 1
    connection.arrive(stream(answered, other), 0)
    assert learned(programs) == {A, OTHER}


def test_padding_of_a_short_frame_is_no_part_of_the_stream(programs: Programs) -> None:
    """Ethernet frames have 60 octets at least: an empty segment has six too many.

    Read as the start of a message they would move the boundary.
    """
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked)
    connection.arrive(b"", 0, padding=bytes.fromhex("0020 0000 0000"))
    connection.arrive(stream(answered)[:2], 0, padding=b"\xff\xff\xff\xff")
    connection.arrive(answered.to_wire(), 2)
    assert learned(programs) == {A}


def poisoned() -> tuple[dns.message.QueryMessage, dns.message.Message, bytes]:
    """Return a query for a TXT record, its answer, and the answer that hides in it."""
    asked, forged = ask_a()[0], answer(ask_a()[0], f"registry.test. 60 IN A {OTHER[0]}")
    bait = query("attacker.example", "TXT")
    bait.id = 0x6666
    hidden = stream(forged)
    text = '"' + "".join(f"\\{octet:03}" for octet in hidden) + '"'
    response = dns.message.make_response(bait)
    response.answer.append(dns.rrset.from_text("attacker.example.", 60, "IN", "TXT", text))
    assert asked.id == forged.id
    return bait, response, hidden


@pytest.mark.parametrize("known", [True, False])
def test_an_answer_inside_a_txt_record_is_not_learned(programs: Programs, known: bool) -> None:
    """Anybody can have a segment begin inside a record of his own zone.

    He asks for a permitted name and for his record at once, with an MSS or a window
    that makes the resolver cut its answer where the forged one begins. A parser that
    takes each segment for the start of a message learns his address.
    """
    asked, _ = ask_a()
    bait, response, hidden = poisoned()
    data = stream(response)
    connection = Connection(programs)
    for place in range(1, len(data)):
        for early in (0, 1, 2, place // 2):
            if known:
                connection.open()
            connection.ask(asked, bait)
            for at, piece in segments(data, *({early, place} - {0})):
                connection.arrive(piece, at)
            assert learned(programs) == set(), (early, place)
    assert hidden in data


def test_a_connection_older_than_the_program_is_left_to_user_space(programs: Programs) -> None:
    """Without its SYN-ACK nobody knows where its messages begin: the name is looked up."""
    asked, answered = ask_a()
    connection = Connection(programs, start=7_000_000)
    Connection(programs, start=START).open(TcpFlag.ACK)
    for data in (stream(answered), answered.to_wire(), stream(b"x", answered)):
        connection = Connection(programs, 6, start=connection.start + 1_000_000)
        run(programs.dns_answer, tcp(RESOLVERS[1], 53, CLIENTS[6], PORT + 1, data))
        client, resolver = connection.ends
        run(programs.dns_query, tcp(client, PORT + 1, resolver, 53, stream(asked)))
        run(programs.dns_answer, tcp(resolver, 53, client, PORT + 1, data))
        assert learned(programs) == set()
        assert passed_on(programs.drain()) == {RdataType.A: "cut"}


def test_a_boundary_that_was_missed_is_never_met_again(programs: Programs) -> None:
    """Sequence numbers come round after 4 GB, at a place of the client's choosing."""
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    for gap in range(1 << 28, 1 << 32, 1 << 28):
        connection.arrive(stream(b"not the first"), gap)
    connection.ask(asked)
    connection.arrive(stream(answered), 1 << 32)
    assert learned(programs) == set()
    assert passed_on(programs.drain()) == {RdataType.A: "cut"}


def test_a_message_too_long_for_an_event_is_passed_on_cut(programs: Programs) -> None:
    """What follows it is learned all the same."""
    (asked, first), (also_asked, second) = ask_a(), ask_aaaa()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked, also_asked)
    data = stream(first.to_wire() + bytes(5000))
    for at in range(0, len(data), 1400):
        connection.arrive(data[at : at + 1400], at)
    connection.arrive(stream(second), len(data))
    assert learned(programs) == {AAAA}
    assert passed_on(programs.drain()) == {RdataType.A: "cut", RdataType.AAAA: "plain"}


def test_an_answer_comes_the_way_its_query_went(programs: Programs) -> None:
    """Over TCP it doesn't answer a query over UDP with the same port and id, or the reverse."""
    asked, answered = ask_a()
    connection = Connection(programs)
    client, resolver = connection.ends
    connection.open()
    run(programs.dns_query, udp(client, PORT, resolver, 53, asked.to_wire()))
    connection.arrive(stream(answered), 0)
    assert learned(programs) == set()
    run(programs.dns_answer, udp(resolver, 53, client, PORT, answered.to_wire()))
    assert learned(programs) == {A}
    programs.forget(programs.learned())
    connection.ask(asked)
    run(programs.dns_answer, udp(resolver, 53, client, PORT, answered.to_wire()))
    assert learned(programs) == set()


def test_an_answer_needs_a_query_and_a_trusted_resolver(programs: Programs) -> None:
    """Unasked, or from elsewhere: not learned, not passed on."""
    asked = query("registry.test")
    asked.id = 0x7777
    answered = answer(asked, f"registry.test. 60 IN A {A[0]}")
    connection = Connection(programs)
    connection.open()
    connection.arrive(stream(answered), 0)
    stranger, client = "192.0.2.66", CLIENTS[4]
    run(programs.dns_query, tcp(client, PORT, stranger, 53, stream(asked)))
    opening = TcpFlag.SYN | TcpFlag.ACK
    run(programs.dns_answer, tcp(stranger, 53, client, PORT, flags=opening))
    run(programs.dns_answer, tcp(stranger, 53, client, PORT, stream(answered), sequence=1))
    assert learned(programs) == set()
    assert programs.drain() == ()


def test_nobody_else_s_connections_push_out_those_to_a_resolver(programs: Programs) -> None:
    """Anybody can make this machine receive SYN-ACKs from a port 53."""
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    opening = TcpFlag.SYN | TcpFlag.ACK
    for port in range(1024, 1024 + 2 * MAX_STREAMS):
        run(programs.dns_answer, tcp("192.0.2.66", 53, CLIENTS[4], port, flags=opening))
    connection.ask(asked)
    connection.arrive(stream(answered), 0)
    assert learned(programs) == {A}


def test_a_query_after_its_length_in_a_segment_of_its_own_is_remembered(
    programs: Programs,
) -> None:
    """Some clients write the two octets first."""
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    connection.send(stream(asked)[:2])
    connection.send(asked.to_wire())
    connection.arrive(stream(answered), 0)
    assert learned(programs) == {A}


def test_a_port_used_again_begins_anew(programs: Programs) -> None:
    """A connection is the one of the last SYN-ACK, wherever the one before it ended."""
    asked, answered = ask_a()
    Connection(programs).open()
    Connection(programs).arrive(stream(b"of another connection")[:9], 0)
    connection = Connection(programs, start=START + 500)
    connection.open()
    connection.ask(asked)
    connection.arrive(stream(answered), 0)
    assert learned(programs) == {A}


def test_nothing_but_data_of_the_stream_moves_the_boundary(programs: Programs) -> None:
    """A client's reset, a SYN without ACK, a header too short, an IP fragment."""
    asked, answered = ask_a()
    connection = Connection(programs)
    connection.open()
    connection.ask(asked)
    client, resolver = connection.ends
    whole = tcp(resolver, 53, client, PORT, stream(b"junk"), sequence=START + 1)
    reset = tcp(resolver, 53, client, PORT, stream(b"junk"), sequence=START + 1, flags=TcpFlag.RST)
    opening = tcp(resolver, 53, client, PORT, sequence=START + 99, flags=TcpFlag.SYN)
    header = bytearray(whole)
    header[14 + 20 + 12] = 4 << 4
    fragment = bytearray(whole)
    fragment[14 + 6] = 0x20
    for frame in (reset, opening, bytes(header), bytes(fragment)):
        run(programs.dns_answer, frame)
    connection.arrive(stream(answered), 0)
    assert learned(programs) == {A}
