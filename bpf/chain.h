/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chain.h - the records of an answer, and the chain of aliases they begin with.
 *
 * A target is checked as dnspython checks it, for user space opens nothing of a
 * message that it can't read.
 */
#ifndef ENFORCER_CHAIN_H
#define ENFORCER_CHAIN_H

#include "name.h"

enum {
	RECORD_FIXED = 12, /* compressed owner, type, class, TTL, RDLENGTH */
	TYPE_CNAME = 5,
	CLASS_IN = 1,
	POINTER = 0xc000, /* RFC 1035 4.1.4 */
	/* dnspython, which user space follows chains with, gives up at the sixteenth. */
	MAX_ALIASES = 15,
	/* In the target of an alias. With the one that is the next owner there are as
	 * many as dnspython follows.
	 */
	MAX_POINTERS = 15,
	/* For the chain: records, labels of their targets and pointers in these. */
	MAX_STEPS = 160,
};

static __always_inline u32 be32(const u8 *p)
{
	return (u32)be16(p) << 16 | be16(p + 2);
}

/*
 * Check the record at s->offset: inside the message, of class IN, owned by
 * s->owner. Lowers s->ttl to the record's and leaves where the record ends in
 * s->next.
 *
 * Return: its type, or -1.
 */
static __always_inline int read_record(struct scratch *s)
{
	u32 offset = read_back(s->offset);
	u32 len = read_back(s->event.len);
	u32 ttl, next;
	const u8 *record;

	/* Before the mask, which would turn the message's end into its start. */
	if (offset > MESSAGE_MAX - RECORD_FIXED)
		return -1;
	asm volatile("" : "+r"(offset));
	offset &= MESSAGE_MAX - 1;
	record = &s->message[offset];
	next = offset + RECORD_FIXED + be16(record + 10);
	if (next > len)
		return -1;
	if (be16(record) != (POINTER | read_back(s->owner)) || be16(record + 4) != CLASS_IN)
		return -1;
	ttl = be32(record + 6);
	if (ttl >> 31) /* RFC 2181 8: treat as zero */
		ttl = 0;
	if (ttl < read_back(s->ttl))
		s->ttl = ttl;
	s->next = next;
	return be16(record + 2);
}

/* Go from the alias that read_record() found at s->offset to its target. */
static __always_inline void enter_alias(struct scratch *s)
{
	u32 rdata = read_back(s->offset) + RECORD_FIXED;
	u32 pointer;

	s->at = rdata;
	s->start = rdata;
	s->end = read_back(s->next);
	s->target_len = 0;
	s->pointers = 0;
	s->offset = read_back(s->next);
	s->records = read_back(s->records) - 1;
	s->aliases = read_back(s->aliases) + 1;
	s->owner = rdata;
	asm volatile("" : "+r"(rdata));
	pointer = be16(&s->message[rdata & (MESSAGE_MAX - 1)]);
	/* The target stands elsewhere already: records will point there. */
	if (pointer >= POINTER)
		s->owner = pointer & ~POINTER;
}

/*
 * Walk one label, or one pointer, of the name at s->at, which becomes 0 at its end.
 *
 * Return: 0, or -1 where the name is malformed.
 */
static __always_inline int walk_label(struct scratch *s)
{
	u32 at = read_back(s->at);
	u32 end = read_back(s->end);
	u32 target, after, len;
	u8 c;

	if (at >= MESSAGE_MAX)
		return -1;
	asm volatile("" : "+r"(at));
	at &= MESSAGE_MAX - 1;
	c = s->message[at];
	target = be16(&s->message[at]);
	after = at + (c > LABEL_MAX ? 2 : c + 1);
	if (after > end)
		return -1;
	/* The RDATA is the name and nothing more. */
	if ((c == 0 || c > LABEL_MAX) && after != end && end == read_back(s->next))
		return -1;
	if (c > LABEL_MAX) {
		/* Never into the header. One that doesn't go back fails at the next step,
		 * where its target lies behind the end.
		 */
		if (target < (POINTER | DNS_HEADER_SIZE))
			return -1;
		if (read_back(s->pointers) == MAX_POINTERS)
			return -1;
		s->pointers = read_back(s->pointers) + 1;
		s->end = read_back(s->start);
		after = target & ~POINTER;
		s->start = after;
	} else {
		len = read_back(s->target_len) + c + 1;
		if (len > NAME_WIRE_MAX)
			return -1;
		s->target_len = len;
		if (!c)
			after = 0;
	}
	s->at = after;
	return 0;
}

/*
 * Follow the chain of aliases at s->offset to the record after it. One flat loop
 * over labels and records: nested ones leave more branches open than the verifier
 * keeps (8,192).
 *
 * Return: 0, or -1 where something is not the plain form.
 */
static __always_inline int follow_chain(struct scratch *s)
{
	s->at = 0;
	s->aliases = 0;
	for (u32 i = 0; i < MAX_STEPS; i++) {
		if (read_back(s->at)) {
			if (walk_label(s))
				return -1;
		} else {
			if (!read_back(s->records) || read_record(s) != TYPE_CNAME)
				return 0;
			if (read_back(s->aliases) == MAX_ALIASES)
				return -1;
			enter_alias(s);
		}
	}
	return -1;
}

#endif
