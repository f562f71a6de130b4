/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * asker.h - how many queries each asker has unanswered.
 *
 * The map of queries drops the oldest when it is full. Whoever asks for permitted names
 * faster than they are answered would push out what others have asked, so he is
 * remembered no more, until the next second. Who gets his answers may ask at any rate.
 */
#ifndef ENFORCER_ASKER_H
#define ENFORCER_ASKER_H

#include "maps.h"

enum {
	/* Users have one uid below, and beyond it blocks of so many (subuid(5)). */
	UID_BLOCK_BITS = 16,
};

/* A forwarded packet has no socket any more, and its source may be translated already. */
static __always_inline void find_asker(struct __sk_buff *skb, struct query *query)
{
	u32 uid, block;

	query->time_ns = bpf_ktime_get_ns();
	query->asker.second = query->time_ns / NS_PER_S;
	query->asker.ifindex = skb->ingress_ifindex;
	query->asker.uid = 0;
	query->pad = 0;
	if (skb->ingress_ifindex)
		return;
	uid = bpf_get_socket_uid(skb);
	block = uid >> UID_BLOCK_BITS;
	query->asker.uid = block ? block << UID_BLOCK_BITS : uid;
}

/* Return: whether one more query of the asker is to be remembered; it is counted then. */
static __always_inline int may_ask(struct query *query)
{
	u64 none = 0, *count;

	count = unanswered.lookup_or_try_init(&query->asker, &none);
	/* Signed: an answer that overtakes its query's count leaves less than none. */
	if (!count || (s64)*count >= MAX_UNANSWERED)
		return 0;
	__sync_fetch_and_add(count, 1);
	return 1;
}

static __always_inline void was_answered(struct asker *asker)
{
	u64 *count = unanswered.lookup(asker);

	if (count)
		__sync_fetch_and_add(count, -1);
}

#endif
