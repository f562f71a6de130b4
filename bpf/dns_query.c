// SPDX-License-Identifier: GPL-2.0-only
/*
 * dns_query.c - tc egress: remember each query for a permitted name to a trusted
 * resolver, because only its answer may be learned.
 *
 * Queries for other names are not remembered, so no flood of them can push out
 * those that count.
 */
#include "maps.h"
#include "name.h"
#include "packet.h"

static __always_inline void remember_query(struct __sk_buff *skb)
{
	struct datagram d = {};
	struct query_key key = {};
	struct scratch *s;
	u64 now;

	if (parse_udp(skb, &d) || d.destination_port != bpf_htons(DNS_PORT))
		return;
	if (!resolvers.lookup(&d.destination))
		return;
	s = get_scratch();
	if (!s || d.len < DNS_HEADER_SIZE || d.len > MESSAGE_MAX)
		return;
	if (d.len > QUESTION_MAX)
		d.len = QUESTION_MAX;
	if (load_message(skb, s, d.offset, d.len))
		return;
	s->event.len = d.len;
	if (!match_qname(s))
		return;
	key.client = d.source;
	key.resolver = d.destination;
	key.ifindex = skb->ifindex;
	key.port = d.source_port;
	__builtin_memcpy(&key.id, s->message, sizeof(key.id));
	now = bpf_ktime_get_ns();
	count(queries.update(&key, &now) ? STAT_FAILED : STAT_QUERIES);
}

int dns_query(struct __sk_buff *skb)
{
	remember_query(skb);
	return TC_ACT_UNSPEC;
}
