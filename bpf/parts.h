/* SPDX-License-Identifier: GPL-2.0-only */
/* parts.h - where DNS messages are in a packet. */
#ifndef ENFORCER_PARTS_H
#define ENFORCER_PARTS_H

#include "maps.h"
#include "transport.h"

enum {
	LENGTH_SIZE = 2, /* before each message over TCP (RFC 1035 4.2.2) */
	/* One in every query and answer, and no flags that either has. */
	QDCOUNT_END = 6,
	NOT_WHOLE = ANSWER_UNUSUAL | ANSWER_CUT,
};

static __always_inline void add_part(struct scratch *s, u32 i, u32 offset, u32 len, u32 flags)
{
	s->parts[i].offset = offset;
	s->parts[i].len = len;
	s->parts[i].flags = flags;
	s->nr_parts = i + 1;
}

/*
 * Find the message in a UDP datagram.
 *
 * Return: 0, or -1 where the datagram says that it is longer than its packet.
 */
static __always_inline int find_datagram(struct scratch *s, const struct udp_header *udp)
{
	u32 offset = s->packet.offset + UDP_HEADER;
	u32 len = bpf_ntohs(udp->len);
	u32 room = s->packet.end - s->packet.offset;
	u32 flags = 0;

	if (s->packet.flags & PACKET_FRAGMENT) {
		len = room;
		flags = NOT_WHOLE;
	}
	if (len < UDP_HEADER || len > room)
		return -1;
	add_part(s, 0, offset, len - UDP_HEADER, flags);
	return 0;
}

/*
 * Find the payload of a TCP segment.
 *
 * Return: its offset, or 0 where there is none.
 */
static __always_inline u32 find_payload(const struct scratch *s, const struct tcp_header *tcp)
{
	u32 size = (tcp->size >> 4) * 4;
	u32 offset = s->packet.offset + size;

	/* Its header is in it whole, a fragment's messages are not. */
	if (s->packet.flags & PACKET_FRAGMENT || size < TCP_HEADER_MIN)
		return 0;
	return offset < s->packet.end ? offset : 0;
}

/*
 * Find where messages would be if the TCP segment whose payload is at *offset* began
 * with one, or with its length, which some write apart. They need not be any: nothing
 * found here is learned.
 */
static __always_inline void guess_parts(struct __sk_buff *skb, struct scratch *s, u32 offset)
{
	u8 start[QDCOUNT_END], length[LENGTH_SIZE];

	if (load(skb, offset, start, sizeof(start)))
		return;
	if (be16(&start[QDCOUNT_END - sizeof(u16)]) == 1) {
		add_part(s, 0, offset, s->packet.end - offset, NOT_WHOLE);
		return;
	}
	s->walk.offset = offset + LENGTH_SIZE;
	for (u32 i = 0; i < MAX_PARTS; i++) {
		u32 at = read_back(s->walk.offset);
		u32 end = read_back(s->packet.end);

		if (at >= end)
			break;
		add_part(s, i, at, end - at, NOT_WHOLE);
		if (load(skb, at - LENGTH_SIZE, length, sizeof(length)))
			break;
		s->walk.offset = at + be16(length) + LENGTH_SIZE;
	}
}

#endif
