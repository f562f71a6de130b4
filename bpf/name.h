/* SPDX-License-Identifier: GPL-2.0-only */
/* name.h - from the QNAME in a message to the grant that covers it. */
#ifndef ENFORCER_NAME_H
#define ENFORCER_NAME_H

#include "maps.h"

enum {
	NAME_WIRE_MAX = 255, /* RFC 1035 2.3.4, the root label included */
	LABEL_MAX = 63,
	QUESTION_FIXED = 4, /* QTYPE and QCLASS */
	QUESTION_MAX = DNS_HEADER_SIZE + NAME_WIRE_MAX + QUESTION_FIXED,
};

/* Load event.len bytes, 1..MESSAGE_MAX, at *offset* into the scratch message. */
static __always_inline int load_message(struct __sk_buff *skb, struct scratch *s, u32 offset)
{
	/* LLVM folds two bounds of a caller's into one subtraction that old verifiers
	 * can't follow; this form they all can.
	 */
	u32 size = read_back(s->event.len) - 1;

	asm volatile("" : "+r"(size));
	size = (size & (MESSAGE_MAX - 1)) + 1;
	return bpf_skb_load_bytes_relative(skb, offset, s->message, size, BPF_HDR_START_NET);
}

/*
 * Without branches: each leaves one open for every character of every name, and the
 * verifier keeps 8,192; and where two meet again, it goes on with both wherever they
 * know different things.
 *
 * Return: 1 if *c* is one of *first* to *last*, otherwise 0.
 */
static __always_inline u64 in_range(u8 c, u8 first, u8 last)
{
	u64 above = (u8)(c - first);

	asm volatile("" : "+r"(above));
	return (above - (last - first) - 1) >> 63;
}

/* Return: *yes* where *condition*, 0 or 1, is 1; otherwise *no*. */
static __always_inline u64 choose(u64 condition, u64 yes, u64 no)
{
	u64 mask = -condition;

	asm volatile("" : "+r"(mask));
	return no ^ ((yes ^ no) & mask);
}

/*
 * Copy the QNAME of the message, reversed and in lower case, so that it ends at
 * NAME_END. Leaves its length in name_len.
 *
 * Return: 0, or -1 for the root, a compressed or overlong name, and one with
 * characters that no permitted name has.
 */
static __always_inline int reverse_qname(struct scratch *s)
{
	s->label_left = 0;
	s->name_len = 0;
	for (u32 i = 0; i < NAME_WIRE_MAX; i++) {
		u32 left = read_back(s->label_left);
		u8 c = s->message[DNS_HEADER_SIZE + i];
		u64 is_length = in_range(left, 0, 0);
		u64 is_letter = in_range(c | ('a' ^ 'A'), 'a', 'z');
		u64 fits = is_letter | in_range(c, '0', '9') | in_range(c, '-', '-') |
			   in_range(c, '_', '_');

		if (DNS_HEADER_SIZE + i >= read_back(s->event.len))
			return -1;
		if (!(left | c))
			break;
		if (!choose(is_length, in_range(c, 1, LABEL_MAX), fits))
			return -1;
		s->label_left = choose(is_length, c, left - 1);
		s->name[NAME_END - i] = choose(is_length, '.', c | is_letter * ('a' ^ 'A'));
		s->name_len = i + 1;
	}
	s->name[NAME_END] = '\0';
	return 0;
}

/*
 * Look up the grant for the QNAME of the message in *s*, of which event.len
 * bytes are there.
 */
static __always_inline struct grant *match_qname(struct scratch *s)
{
	struct {
		u32 value;
	} __attribute__((packed)) * prefixlen; /* not aligned */
	struct grant *grant;
	u32 start, len;

	if (reverse_qname(s))
		return 0;
	len = read_back(s->name_len);
	/* The whole name, and the root label that ended it, was there. */
	if (len == 0 || len >= NAME_WIRE_MAX)
		return 0;
	/* A mask the verifier can follow, behind what LLVM can't see through:
	 * subtracting from the pointer itself would look unbounded.
	 */
	start = NAME_END + 1 - sizeof(u32) - len;
	asm volatile("" : "+r"(start));
	prefixlen = (void *)&s->name[start & NAME_START_MASK];
	/* Whatever matches in there is longer than all that is in the other. */
	if (len > SHORT_NAME_SIZE) {
		prefixlen->value = len * 8;
		grant = long_grants.lookup((void *)prefixlen);
		if (grant)
			return grant;
		len = SHORT_NAME_SIZE;
	}
	prefixlen->value = len * 8;
	return short_grants.lookup((void *)prefixlen);
}

#endif
