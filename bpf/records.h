/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * records.h - learn the addresses in the answer section of a DNS message.
 *
 * Strict: what is not the plain form that resolvers send is left to user space.
 */
#ifndef ENFORCER_RECORDS_H
#define ENFORCER_RECORDS_H

#include "name.h"

enum {
	RECORD_FIXED = 12, /* compressed owner, type, class, TTL, RDLENGTH */
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_AAAA = 28,
	CLASS_IN = 1,
	POINTER = 0xc000, /* RFC 1035 4.1.4 */
	/* As many address records as fit into MESSAGE_MAX with room for a chain. */
	MAX_RECORDS = 144,
	NS_PER_S = 1000000000,
};

static __always_inline u32 be32(const u8 *p)
{
	return (u32)be16(p) << 16 | be16(p + 2);
}

static __always_inline int is_refused(const struct grant *grant, u8 family, const u8 *address)
{
	struct refused_key key = { .prefixlen = 8 + 128, .family = family };
	u32 *refusal;

	if (family == 4) {
		key.prefixlen = 8 + 32;
		__builtin_memcpy(key.address, address, 4);
	} else {
		__builtin_memcpy(key.address, address, 16);
	}
	refusal = refused.lookup(&key);
	if (!refusal)
		return 0;
	return !(*refusal == REFUSAL_PRIVATE && grant->flags & GRANT_PRIVATE);
}

static __always_inline void learn(struct grant *grant, u8 family, const u8 *address, u64 expires_ns)
{
	struct learned value = { .expires_ns = expires_ns };
	struct learned_key key = {};

	if (is_refused(grant, family, address)) {
		count(STAT_REFUSED);
		return;
	}
	if (family == 4)
		map_ipv4(&key.address, address);
	else
		__builtin_memcpy(&key.address, address, 16);
	for (u32 i = 0; i < MAX_PORTS; i++) {
		key.port = grant->ports[i];
		if (!key.port)
			break;
		count(learned.update(&key, &value) ? STAT_FAILED : STAT_LEARNED);
	}
}

/*
 * Walk one record at s->offset.
 *
 * Return: 0, or -1 where it is not the plain form.
 */
static __always_inline int walk_record(struct scratch *s, struct grant *grant,
				       const struct config *cfg)
{
	u32 offset = read_back(s->offset);
	u32 len = read_back(s->event.len);
	u32 ttl, lifetime_s;
	u16 type, rdlength;
	const u8 *record, *rdata;

	/* Before the mask, which would turn the message's end into its start. */
	if (offset > MESSAGE_MAX - RECORD_FIXED || offset + RECORD_FIXED > len)
		return -1;
	asm volatile("" : "+r"(offset));
	offset &= MESSAGE_MAX - 1;
	record = &s->message[offset];
	rdata = record + RECORD_FIXED;
	type = be16(record + 2);
	rdlength = be16(record + 10);
	if (offset + RECORD_FIXED + rdlength > len || be16(record + 4) != CLASS_IN)
		return -1;
	if (be16(record) != (POINTER | read_back(s->owner)))
		return -1;
	ttl = be32(record + 6);
	if (ttl >> 31) /* RFC 2181 8: treat as zero */
		ttl = 0;
	if (ttl > MAX_TTL_S)
		ttl = MAX_TTL_S;
	if (ttl > read_back(s->ttl))
		ttl = read_back(s->ttl);

	if (type == TYPE_CNAME) {
		if (rdlength < 2)
			return -1;
		s->ttl = ttl;
		s->owner = offset + RECORD_FIXED;
		/* The target stands elsewhere already: records will point there. */
		if (rdlength == 2 && rdata[0] >> 6 == 3)
			s->owner = be16(rdata) & ~POINTER;
	} else if ((type == TYPE_A && rdlength == 4) || (type == TYPE_AAAA && rdlength == 16)) {
		lifetime_s = ttl > cfg->min_ttl_s ? ttl : cfg->min_ttl_s;
		lifetime_s += cfg->grace_s;
		learn(grant, type == TYPE_A ? 4 : 6, rdata,
		      read_back(s->event.time_ns) + (u64)lifetime_s * NS_PER_S);
	}
	s->offset = offset + RECORD_FIXED + rdlength;
	return 0;
}

static __always_inline void learn_answer(struct scratch *s, struct grant *grant,
					 const struct config *cfg)
{
	s->offset = DNS_HEADER_SIZE + read_back(s->name_len) + 1 + QUESTION_FIXED;
	s->owner = DNS_HEADER_SIZE;
	s->ttl = ~0U;
	s->records = be16(&s->message[6]);
	for (u32 i = 0; i < MAX_RECORDS; i++) {
		if (i >= read_back(s->records))
			return;
		if (walk_record(s, grant, cfg))
			break;
	}
	if (read_back(s->records) > 0) {
		s->event.flags |= ANSWER_UNUSUAL;
		count(STAT_UNUSUAL);
	}
}

#endif
