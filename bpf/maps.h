/* SPDX-License-Identifier: GPL-2.0-only */
/* maps.h - the maps, shared by all programs, and per-CPU scratch space. */
#ifndef ENFORCER_MAPS_H
#define ENFORCER_MAPS_H

#include "packet.h"

enum {
	NS_PER_S = 1000000000,
	DNS_HEADER_SIZE = 12, /* RFC 1035 4.1.1 */
	/* A read at a masked offset below MESSAGE_MAX stays inside. */
	MESSAGE_SLACK = 512,
	/* Where the reversed name ends: its longest form and the prefix length
	 * fit below, a whole name_key fits above any start.
	 */
	NAME_END = 260,
	NAME_START_MASK = 0x1ff,
	NAME_BUFFER = NAME_START_MASK + 1 + sizeof(struct name_key),
	/* A power of two. More messages in a segment are not learned from. */
	MAX_PARTS = 8,
};

/* What a packet holds of one DNS message. */
struct part {
	u32 offset; /* from the network header */
	u32 len;
	u32 flags; /* enum answer_flags */
};

/*
 * Loop state lives here and is read back on each use: the verifier forgets what
 * it knows of a value in memory, so that the iterations of a loop, and its many
 * exits, look alike to it and are walked once.
 */
struct scratch {
	struct packet packet;
	struct query_key key;
	struct query query;
	struct part parts[MAX_PARTS];
	u32 nr_parts;
	u32 part; /* the one at hand */
	struct {
		u32 offset; /* from the network header */
		u32 length; /* of the message there; 0: not read yet */
	} walk;
	struct answer_event event;
	u8 message[MESSAGE_MAX + MESSAGE_SLACK];
	u8 name[NAME_BUFFER];
	struct grant grant; /* of that name */
	u32 name_len; /* in wire format, without the root label */
	u32 label_left;
	u32 records; /* of the answer section, those still to come */
	u32 offset; /* of the next of them */
	u32 next; /* where that one ends */
	u32 owner; /* offset of the name that it must belong to */
	u32 ttl; /* the smallest yet, seconds */
	/* Of the target of an alias: where to read on, the bounds of the part between
	 * two pointers, its length in wire format, and the pointers followed.
	 */
	u32 at;
	u32 start;
	u32 end;
	u32 target_len;
	u32 pointers;
	u32 aliases; /* followed */
	u32 held_back; /* whether the address at hand is refused */
	/* For the counters. */
	u32 remembered;
	u32 excess;
	u32 learned;
	u32 failed;
	u32 refused;
};

#define read_back(x) (*(volatile typeof(x) *)&(x))

BPF_PERF_OUTPUT(events);
BPF_ARRAY(config, struct config, 1);
BPF_PERCPU_ARRAY(scratch, struct scratch, 1);
BPF_PERCPU_ARRAY(stats, u64, NR_STATS);
/* The trusted ones, and the index of the interface that leads to each; 0: none does. */
BPF_HASH(resolvers, struct address, u32, MAX_RESOLVERS);
/* Each name is in the trie that its length says: most are short, and their nodes are. */
BPF_LPM_TRIE(short_grants, struct short_name_key, struct grant, MAX_GRANTS);
BPF_LPM_TRIE(long_grants, struct name_key, struct grant, MAX_GRANTS);
BPF_LPM_TRIE(refused, struct refused_key, u32, MAX_REFUSED);
BPF_TABLE("lru_hash", struct query_key, struct query, queries, MAX_QUERIES);
BPF_TABLE("lru_hash", struct asker, u64, unanswered, MAX_ASKERS);
BPF_TABLE("lru_hash", struct learned_key, struct learned, learned, MAX_LEARNED);

static __always_inline void add(u32 stat, u32 number)
{
	u64 *value = stats.lookup(&stat);

	if (value)
		*value += number;
}

static __always_inline void count(u32 stat)
{
	add(stat, 1);
}

static __always_inline struct scratch *get_scratch(void)
{
	u32 zero = 0;

	return scratch.lookup(&zero);
}

static __always_inline struct config *get_config(void)
{
	u32 key = CONFIG_KEY;

	return config.lookup(&key);
}

#endif
