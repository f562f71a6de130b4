// SPDX-License-Identifier: GPL-2.0-only
/*
 * dns_answer.c - tc ingress: learn the addresses in an answer to a remembered
 * query before the client reads it, and hand the message to user space.
 */
#include "packet.h"
#include "records.h"

enum {
	FLAG_QR = 0x80, /* RFC 1035 4.1.1, third byte */
	MASK_OPCODE = 0x78,
	FLAG_TC = 0x02,
	MASK_RCODE = 0x0f, /* fourth byte */
};

static __always_inline void take_answer(struct __sk_buff *skb)
{
	struct datagram d = {};
	struct query_key key = {};
	struct config *cfg = get_config();
	struct scratch *s = get_scratch();
	struct grant *grant;
	u32 len;
	u64 *asked, now;

	if (!cfg || !s)
		return;
	if (parse_udp(skb, &d) || d.source_port != bpf_htons(DNS_PORT))
		return;
	if (d.len < DNS_HEADER_SIZE || d.len > 0xffff)
		return;
	if (load(skb, d.offset, &key.id, sizeof(key.id)))
		return;
	key.client = d.destination;
	key.resolver = d.source;
	key.ifindex = skb->ifindex;
	key.port = d.destination_port;
	asked = queries.lookup(&key);
	if (!asked)
		return;
	now = bpf_ktime_get_ns();
	if (now - *asked > (u64)QUERY_TIMEOUT_S * NS_PER_S)
		return;

	s->event.time_ns = now;
	s->event.flags = 0;
	if (d.len > MESSAGE_MAX) {
		d.len = MESSAGE_MAX;
		s->event.flags = ANSWER_UNUSUAL | ANSWER_CUT;
	}
	s->event.len = d.len;
	if (load_message(skb, s, d.offset, d.len))
		return;
	/* QR, a standard query, one question. */
	if ((s->message[2] & (FLAG_QR | MASK_OPCODE)) != FLAG_QR || be16(&s->message[4]) != 1)
		return;
	grant = match_qname(s);
	if (!grant)
		return;
	queries.delete(&key);
	count(STAT_ANSWERS);
	if (!(s->message[3] & MASK_RCODE) && !(s->message[2] & FLAG_TC) && !s->event.flags)
		learn_answer(s, grant, cfg);

	len = read_back(s->event.len) - 1;
	asm volatile("" : "+r"(len));
	len = (len & (MESSAGE_MAX - 1)) + 1 + sizeof(s->event);
	if (events.perf_submit(skb, &s->event, len))
		count(STAT_LOST);
}

int dns_answer(struct __sk_buff *skb)
{
	take_answer(skb);
	return TC_ACT_UNSPEC;
}
