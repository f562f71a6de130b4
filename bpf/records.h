/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * records.h - learn the addresses in the answer section of a DNS message.
 *
 * Strict: all of the section is the plain form that resolvers send, which is one
 * chain of aliases in order and then one RRset of the type asked for, each owner
 * a pointer; or nothing of it is learned and user space decides. What is learned
 * here must be a subset of what user space would open: tests/bpf/test_corpus.py.
 */
#ifndef ENFORCER_RECORDS_H
#define ENFORCER_RECORDS_H

#include "chain.h"

enum {
	TYPE_A = 1,
	TYPE_AAAA = 28,
	/* As many address records as fit into MESSAGE_MAX with room for a chain. */
	MAX_RECORDS = 144,
};

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

/* Counts in scratch, for one more branch in here is one more for each port. */
static __always_inline void learn(struct scratch *s, struct grant *grant, u8 family,
				  const u8 *address, const struct learned *value)
{
	struct learned_key key = {};

	s->held_back = is_refused(grant, family, address);
	if (read_back(s->held_back)) {
		s->refused = read_back(s->refused) + 1;
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
		/* The sign of the error, if there is one. */
		s->failed = read_back(s->failed) + ((u64)learned.update(&key, (void *)value) >> 63);
		s->learned = read_back(s->learned) + 1;
	}
}

/*
 * Check that all records from s->offset on are addresses of the type asked for.
 *
 * Return: 0, or -1.
 */
static __always_inline int check_addresses(struct scratch *s, u16 asked, u32 size)
{
	u32 first = read_back(s->offset);

	for (u32 i = 0; i <= MAX_RECORDS; i++) {
		if (i >= read_back(s->records)) {
			s->offset = first;
			return 0;
		}
		if (read_record(s) != asked || read_back(s->next) != read_back(s->offset) + size)
			return -1;
		s->offset = read_back(s->next);
	}
	return -1;
}

/* Learn the addresses in the records of *size* octets each from s->offset on. */
static __always_inline void learn_addresses(struct scratch *s, struct grant *grant, u8 family,
					    u32 size, const struct learned *value)
{
	s->learned = 0;
	s->failed = 0;
	s->refused = 0;
	for (u32 i = 0; i < MAX_RECORDS; i++) {
		u32 offset = read_back(s->offset);

		if (i >= read_back(s->records))
			break;
		s->offset = offset + size;
		asm volatile("" : "+r"(offset));
		offset &= MESSAGE_MAX - 1;
		learn(s, grant, family, &s->message[offset] + RECORD_FIXED, value);
	}
	add(STAT_LEARNED, read_back(s->learned) - read_back(s->failed));
	add(STAT_FAILED, read_back(s->failed));
	add(STAT_REFUSED, read_back(s->refused));
}

static __always_inline void learn_answer(struct scratch *s, struct grant *grant,
					 const struct config *cfg)
{
	u32 question = DNS_HEADER_SIZE + read_back(s->name_len) + 1;
	u32 ttl, size;
	struct learned value;
	u16 asked;
	u8 family;

	asm volatile("" : "+r"(question));
	question &= NAME_START_MASK;
	asked = be16(&s->message[question]);
	if (question + QUESTION_FIXED > read_back(s->event.len) ||
	    be16(&s->message[question + 2]) != CLASS_IN || (asked != TYPE_A && asked != TYPE_AAAA))
		return;
	family = asked == TYPE_A ? 4 : 6;
	size = RECORD_FIXED + (asked == TYPE_A ? 4 : 16);
	s->offset = question + QUESTION_FIXED;
	s->owner = DNS_HEADER_SIZE;
	s->ttl = MAX_TTL_S;
	s->records = be16(&s->message[6]);
	if (follow_chain(s) || check_addresses(s, asked, size)) {
		s->event.flags |= ANSWER_UNUSUAL;
		count(STAT_UNUSUAL);
		return;
	}
	ttl = read_back(s->ttl);
	if (ttl < cfg->min_ttl_s)
		ttl = cfg->min_ttl_s;
	value.expires_ns = read_back(s->event.time_ns) + ((u64)ttl + cfg->grace_s) * NS_PER_S;
	learn_addresses(s, grant, family, size, &value);
}

#endif
