// SPDX-License-Identifier: GPL-2.0-only
/*
 * forward_mark.c - tc ingress of container bridges: what connect_mark does for
 * sockets of the host, for first SYNs that are forwarded. A socket's own mark does
 * not survive the veth out of its network namespace.
 */
#include "learned.h"
#include "transport.h"

static __always_inline void mark_forwarded(struct __sk_buff *skb)
{
	struct learned_key key = {};
	struct config *cfg = get_config();
	const struct tcp_header *plain;
	struct tcp_header tcp;
	struct packet p = {};

	/* A mark of somebody else routes for them. */
	if (!cfg || skb->mark)
		return;
	plain = plain_transport(skb);
	if (plain && (plain->flags & TCP_OPENING) != TCP_SYN)
		return;
	/* A source route leads on from the destination. No client sends options or
	 * fragments of a SYN, so none are told apart.
	 */
	if (parse_ip(skb, &p) || p.protocol != PROTOCOL_TCP || p.flags)
		return;
	if (load_header(skb, p.offset, &tcp, sizeof(tcp)))
		return;
	if ((tcp.flags & TCP_OPENING) != TCP_SYN)
		return;
	key.address = p.destination;
	key.port = bpf_ntohs(tcp.destination);
	if (is_learned(&key)) {
		skb->mark = cfg->nonce;
		count(STAT_MARKED);
	}
}

int forward_mark(struct __sk_buff *skb)
{
	mark_forwarded(skb);
	return TC_ACT_UNSPEC;
}
