/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stream.h - the boundaries of DNS messages in a TCP connection (RFC 7766).
 *
 * Anybody may put an answer of his own making into the middle of a message: a TXT
 * record of his zone that reads like an answer for a permitted name, which he has
 * asked for on the same connection. With a small MSS or window he chooses which byte
 * a segment begins with. So a message counts only where the ones before it end, from
 * the first byte after the resolver's SYN-ACK on.
 *
 * Who can lie about that? All bytes that are followed come from a trusted resolver's
 * port 53, which takes root to send from: on the network that is its way to us, as
 * for UDP; on the loopback and on bridges it is root in the machine's own namespace,
 * or a raw socket on the link. What a client does (MSS, window, several queries at
 * once, closing, using its port again) changes how the bytes are cut, never which
 * number they have, and a new connection begins with a new SYN-ACK.
 *
 * Segments before the boundary are repetitions and those beyond it came too early:
 * neither moves it. What can't be followed is not learned here, but user space hears
 * of it: connections older than this program, boundaries that were missed, messages
 * in several segments.
 */
#ifndef ENFORCER_STREAM_H
#define ENFORCER_STREAM_H

#include "parts.h"

enum {
	MAX_STREAMS = 4096,
	/* No window is larger (RFC 7323 2.3), so nothing after this much is early: the
	 * boundary was missed, and numbers that wrap around must not meet it again.
	 */
	STREAM_GAP_MAX = 1 << 30,
};

struct stream {
	u32 next; /* sequence number of the boundary */
	u32 length; /* of the message that begins there; 0: its length does */
};

/* The key has the id 0. */
BPF_TABLE("lru_hash", struct query_key, struct stream, streams, MAX_STREAMS);

/*
 * Find the messages that begin in the segment from s->walk.offset on. A length of
 * which one octet is here stays before the boundary, and what follows is too early.
 */
static __always_inline void walk_messages(struct __sk_buff *skb, struct scratch *s)
{
	u8 bytes[LENGTH_SIZE];

	for (u32 i = 0; i < MAX_PARTS; i++) {
		u32 at = read_back(s->walk.offset);
		u32 end = read_back(s->packet.end);
		u32 length = read_back(s->walk.length);

		if (at >= end)
			return;
		if (!length) {
			if (end - at < LENGTH_SIZE || load(skb, at, bytes, sizeof(bytes)))
				return;
			at += LENGTH_SIZE;
			length = be16(bytes);
		}
		if (at == end) {
			s->walk.offset = at;
			s->walk.length = length;
			return;
		}
		if (length > end - at)
			add_part(s, i, at, end - at, NOT_WHOLE);
		else
			add_part(s, i, at, length, 0);
		s->walk.offset = at + length;
		s->walk.length = 0;
	}
}

/* Find the messages in the segment with *tcp*, which came from a trusted resolver. */
static __always_inline void follow(struct __sk_buff *skb, struct scratch *s,
				   const struct tcp_header *tcp)
{
	u32 sequence = bpf_ntohl(tcp->sequence);
	u32 payload = find_payload(s, tcp);
	struct stream *stream, opened = { .next = sequence + 1 };
	u32 ahead;

	if (tcp->flags & TCP_SYN) {
		if ((tcp->flags & TCP_OPENING) == (TCP_SYN | TCP_ACK) &&
		    streams.update(&s->key, &opened)) {
			count(STAT_FAILED);
			streams.delete(&s->key);
		}
		return;
	}
	if (!payload || tcp->flags & TCP_RST)
		return;
	stream = streams.lookup(&s->key);
	if (!stream) {
		guess_parts(skb, s, payload);
		return;
	}
	ahead = stream->next - sequence;
	if (ahead >> 31) {
		if (-ahead > STREAM_GAP_MAX)
			streams.delete(&s->key);
		guess_parts(skb, s, payload);
		return;
	}
	if (ahead >= s->packet.end - payload)
		return;
	s->walk.offset = payload + ahead;
	s->walk.length = stream->length;
	walk_messages(skb, s);
	stream->next = sequence + (read_back(s->walk.offset) - payload);
	stream->length = read_back(s->walk.length);
}

#endif
