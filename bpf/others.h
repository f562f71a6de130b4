/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * others.h - answers that nobody is known to have asked for: those for names that are
 * not permitted, whose queries are not remembered.
 *
 * User space hears of some, to tell people by what name they asked for an address that
 * they were denied. It opens nothing for them. Their ring is not that of the answers that
 * count, and a flood of them costs what it takes to count to OTHERS_PER_S.
 */
#ifndef ENFORCER_OTHERS_H
#define ENFORCER_OTHERS_H

#include "name.h"

enum {
	/* Of each CPU: as many take user space some hundredths of a second. */
	OTHERS_PER_S = 128,
};

struct told {
	u64 second; /* of CLOCK_MONOTONIC */
	u64 count;
};

BPF_PERF_OUTPUT(others);
BPF_PERCPU_ARRAY(told, struct told, 1);

/* Return: whether this CPU may tell of one more this second; it is counted then. */
static __always_inline int may_tell(struct scratch *s)
{
	u32 zero = 0;
	struct told *lately = told.lookup(&zero);

	if (!lately)
		return 0;
	s->event.time_ns = bpf_ktime_get_ns();
	if (lately->second != s->event.time_ns / NS_PER_S) {
		lately->second = s->event.time_ns / NS_PER_S;
		lately->count = 0;
	}
	return lately->count++ < OTHERS_PER_S;
}

/* Pass on the first message in the packet, if it is whole and has answers. */
static __always_inline void tell_other(struct __sk_buff *skb, struct scratch *s)
{
	const struct part *part = &s->parts[0];
	u8 header[DNS_HEADER_SIZE];
	u32 len;

	if (!read_back(s->nr_parts) || part->flags || part->len <= DNS_HEADER_SIZE ||
	    part->len > MESSAGE_MAX)
		return;
	/* QR, no error, at least one answer. */
	if (load(skb, part->offset, header, sizeof(header)) || !(header[2] & 0x80) ||
	    header[3] & 0x0f || !be16(&header[6]))
		return;
	if (!may_tell(s))
		return;
	s->event.flags = 0;
	s->event.len = part->len;
	if (load_message(skb, s, part->offset))
		return;
	len = read_back(s->event.len) - 1;
	asm volatile("" : "+r"(len));
	len = (len & (MESSAGE_MAX - 1)) + 1 + sizeof(s->event);
	others.perf_submit(skb, &s->event, len);
}

#endif
