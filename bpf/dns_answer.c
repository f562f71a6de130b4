// SPDX-License-Identifier: GPL-2.0-only
/*
 * dns_answer.c - tc ingress: learn the addresses in an answer to a remembered
 * query before the client reads it, and hand the message to user space.
 *
 * The verifier has room for one message a packet. Of several in a TCP segment the
 * first that was asked for is learned here, the others by user space.
 */
#include "asker.h"
#include "others.h"
#include "parts.h"
#include "records.h"
#include "stream.h"

enum {
	FLAG_QR = 0x80, /* RFC 1035 4.1.1, third byte */
	MASK_OPCODE = 0x78,
	FLAG_TC = 0x02,
	MASK_RCODE = 0x0f, /* fourth byte */
};

/* Return: 0, or -1 where no answer can be in *skb*. */
static __always_inline int find_answers(struct __sk_buff *skb, struct scratch *s)
{
	struct packet *p = &s->packet;
	union transport t;
	u32 *facing;

	if (parse_ip(skb, p) || load_ports(skb, p, &t))
		return -1;
	if (t.udp.source != bpf_htons(DNS_PORT))
		return -1;
	facing = resolvers.lookup(&p->source);
	/* A socket that may have any address as its own is on the machine, too. */
	if (!facing || (skb->ifindex == LOOPBACK_IFINDEX && *facing != LOOPBACK_IFINDEX))
		return -1;
	if (pull(skb, skb->len))
		return -1;
	s->nr_parts = 0;
	s->key.client = p->destination;
	s->key.resolver = p->source;
	s->key.ifindex = skb->ifindex;
	s->key.protocol = p->protocol;
	s->key.port = t.udp.destination;
	s->key.id = 0;
	if (p->protocol == PROTOCOL_UDP)
		return load_udp(skb, p, &t) || find_datagram(s, &t.udp);
	if (load_tcp(skb, p, &t))
		return -1;
	follow(skb, s, &t.tcp);
	return 0;
}

/* Return: whether *part* begins with the id of a query remembered for so long. */
static __always_inline int was_asked(struct __sk_buff *skb, struct scratch *s,
				     const struct part *part)
{
	u64 now = bpf_ktime_get_ns();
	struct query *asked;

	if (part->len < DNS_HEADER_SIZE)
		return 0;
	if (load(skb, part->offset, &s->key.id, sizeof(s->key.id)))
		return 0;
	asked = queries.lookup(&s->key);
	if (!asked || now - asked->time_ns > (u64)QUERY_TIMEOUT_S * NS_PER_S)
		return 0;
	s->query.asker = asked->asker;
	s->event.time_ns = now;
	return 1;
}

/* Load *part* as the message of the event. */
static __always_inline int load_part(struct __sk_buff *skb, struct scratch *s,
				     const struct part *part, u32 flags)
{
	u32 len = part->len;

	flags |= part->flags;
	if (len > MESSAGE_MAX) {
		len = MESSAGE_MAX;
		flags |= NOT_WHOLE;
	}
	s->event.flags = flags;
	s->event.len = len;
	return load_message(skb, s, part->offset);
}

static __always_inline void pass_on(struct __sk_buff *skb, struct scratch *s)
{
	u32 len = read_back(s->event.len) - 1;

	queries.delete(&s->key);
	was_answered(&s->query.asker);
	count(STAT_ANSWERS);
	asm volatile("" : "+r"(len));
	len = (len & (MESSAGE_MAX - 1)) + 1 + sizeof(s->event);
	if (events.perf_submit(skb, &s->event, len))
		count(STAT_LOST);
}

static __always_inline void take_answer(struct __sk_buff *skb, struct scratch *s,
					const struct config *cfg, u32 i)
{
	struct grant *grant;

	asm volatile("" : "+r"(i));
	if (load_part(skb, s, &s->parts[i & (MAX_PARTS - 1)], 0))
		return;
	/* QR, a standard query, one question. */
	if ((s->message[2] & (FLAG_QR | MASK_OPCODE)) != FLAG_QR || be16(&s->message[4]) != 1)
		return;
	grant = match_qname(s);
	if (!grant)
		return;
	/* The verifier would walk what follows once for each map that it may be from. */
	s->grant = *grant;
	if (read_back(s->event.flags))
		count(STAT_UNUSUAL);
	else if (!(s->message[3] & MASK_RCODE) && !(s->message[2] & FLAG_TC))
		learn_answer(s, &s->grant, cfg);
	pass_on(skb, s);
}

static __always_inline void take_answers(struct __sk_buff *skb, struct scratch *s,
					 const struct config *cfg)
{
	s->part = MAX_PARTS;
	for (u32 i = 0; i < MAX_PARTS; i++) {
		if (i >= read_back(s->nr_parts))
			break;
		if (was_asked(skb, s, &s->parts[i])) {
			s->part = i;
			break;
		}
	}
	if (read_back(s->part) == MAX_PARTS) {
		tell_other(skb, s);
		return;
	}
	take_answer(skb, s, cfg, read_back(s->part));
	for (u32 i = 1; i < MAX_PARTS; i++) {
		if (i >= read_back(s->nr_parts))
			return;
		if (i <= read_back(s->part) || !was_asked(skb, s, &s->parts[i]))
			continue;
		if (load_part(skb, s, &s->parts[i], ANSWER_UNUSUAL))
			return;
		count(STAT_UNUSUAL);
		pass_on(skb, s);
	}
}

int dns_answer(struct __sk_buff *skb)
{
	struct config *cfg;
	struct scratch *s;

	if (!may_be_dns(skb, SOURCE_PORT))
		return TC_ACT_UNSPEC;
	cfg = get_config();
	s = get_scratch();
	if (cfg && s && !find_answers(skb, s))
		take_answers(skb, s, cfg);
	return TC_ACT_UNSPEC;
}
