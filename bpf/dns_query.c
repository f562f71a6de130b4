// SPDX-License-Identifier: GPL-2.0-only
/*
 * dns_query.c - tc egress: remember each query for a permitted name to a trusted
 * resolver, because only its answer may be learned.
 *
 * Queries for other names are not remembered, so no flood of them can push out
 * those that count; nor can one for permitted names (asker.h). What only looks like a query, inside
 * another message of a TCP connection, may be remembered: nothing is learned before the resolver
 * itself answers for that name, at a boundary between its own messages.
 */
#include "asker.h"
#include "maps.h"
#include "name.h"
#include "parts.h"

enum {
	/* Queries in a segment: a name's A and AAAA, twice. For each more the verifier
	 * would read a name more (name.h).
	 */
	MAX_ASKED = 4,
};

/* Return: 0, or -1 where no query can be in *skb*. */
static __always_inline int find_queries(struct __sk_buff *skb, struct scratch *s)
{
	struct packet *p = &s->packet;
	union transport t;
	u32 payload;

	if (parse_ip(skb, p) || load_ports(skb, p, &t))
		return -1;
	if (t.udp.destination != bpf_htons(DNS_PORT) || !resolvers.lookup(&p->destination))
		return -1;
	if (pull(skb, skb->len))
		return -1;
	s->nr_parts = 0;
	s->key.client = p->source;
	s->key.resolver = p->destination;
	s->key.ifindex = skb->ifindex;
	s->key.protocol = p->protocol;
	s->key.port = t.udp.source;
	if (p->protocol == PROTOCOL_UDP)
		return load_udp(skb, p, &t) || find_datagram(s, &t.udp);
	if (load_tcp(skb, p, &t))
		return -1;
	payload = find_payload(s, &t.tcp);
	if (!payload)
		return -1;
	guess_parts(skb, s, payload);
	return 0;
}

static __always_inline void remember_query(struct __sk_buff *skb, struct scratch *s,
					   const struct part *part)
{
	u32 len = part->len;
	struct query *known;
	u64 failed;

	if (len < DNS_HEADER_SIZE)
		return;
	if (len > QUESTION_MAX)
		len = QUESTION_MAX;
	s->event.len = len;
	if (load_message(skb, s, part->offset) || !match_qname(s))
		return;
	__builtin_memcpy(&s->key.id, s->message, sizeof(s->key.id));
	if (!may_ask(&s->query)) {
		s->excess = read_back(s->excess) + 1;
		return;
	}
	known = queries.lookup(&s->key);
	/* Sent again: what it replaces waits no more. */
	if (known)
		was_answered(&known->asker);
	/* The sign of the error, if there is one. */
	failed = (u64)queries.update(&s->key, &s->query) >> 63;
	s->failed = read_back(s->failed) + failed;
	s->remembered = read_back(s->remembered) + 1 - failed;
}

int dns_query(struct __sk_buff *skb)
{
	struct scratch *s;

	if (!may_be_dns(skb, DESTINATION_PORT))
		return TC_ACT_UNSPEC;
	s = get_scratch();
	if (!s || find_queries(skb, s))
		return TC_ACT_UNSPEC;
	s->failed = 0;
	s->remembered = 0;
	s->excess = 0;
	find_asker(skb, &s->query);
	for (u32 i = 0; i < MAX_ASKED; i++) {
		if (i >= read_back(s->nr_parts))
			break;
		remember_query(skb, s, &s->parts[i]);
	}
	add(STAT_FAILED, read_back(s->failed));
	add(STAT_QUERIES, read_back(s->remembered));
	add(STAT_EXCESS, read_back(s->excess));
	return TC_ACT_UNSPEC;
}
