// SPDX-License-Identifier: GPL-2.0-only
/*
 * forward_mark.c - tc ingress of container bridges: what connect_mark does for
 * sockets of the host, for first SYNs that are forwarded. A socket's own mark does
 * not survive the veth out of its network namespace.
 *
 * What a container sends in the name of a resolver elsewhere ends here: a cache on the
 * machine may be waiting for its answer.
 */
#include "learned.h"
#include "transport.h"

enum {
	IPV4_SOURCE = 12, /* RFC 791 3.1 */
	IPV6_SOURCE = 8, /* RFC 8200 3 */
};

static __always_inline int is_forged(struct __sk_buff *skb)
{
	struct address source;
	u32 *facing, word;
	u8 version;

	if (load_header(skb, 0, &version, sizeof(version)))
		return 0;
	if (version >> 4 == 4) {
		if (load_header(skb, IPV4_SOURCE, &word, sizeof(word)))
			return 0;
		map_ipv4(&source, (u8 *)&word);
	} else if (version >> 4 != 6 || load_header(skb, IPV6_SOURCE, &source, sizeof(source))) {
		return 0;
	}
	facing = resolvers.lookup(&source);
	return facing && *facing != skb->ifindex;
}

static __always_inline void mark_forwarded(struct __sk_buff *skb)
{
	struct learned_key key = {};
	struct config *cfg = get_config();
	struct tcp_header tcp;
	struct packet p = {};

	/* A mark of somebody else routes for them. */
	if (!cfg || skb->mark)
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
	u32 protocol = 0;
	const struct tcp_header *plain = plain_transport(skb, &protocol);

	/* Nobody forges a segment that fits into a connection which he does not see. */
	if (plain && protocol == PROTOCOL_TCP && (plain->flags & TCP_OPENING) != TCP_SYN)
		return TC_ACT_UNSPEC;
	if (is_forged(skb))
		return TC_ACT_SHOT;
	mark_forwarded(skb);
	return TC_ACT_UNSPEC;
}
