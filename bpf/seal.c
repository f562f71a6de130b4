// SPDX-License-Identifier: GPL-2.0-only
/*
 * seal.c - cgroup_skb egress: what the sockets of one cgroup send ends here, behind
 * every chain of nftables and before the neighbour is asked for. That something came so
 * far is noted: nothing denied it.
 */
#include "maps.h"

enum {
	DROP = 0,
	TO_IPV4 = 16, /* RFC 791 3.1 */
	TO_IPV6 = 24, /* RFC 8200 3 */
};

BPF_ARRAY(sealed, struct sealed, 1);

int seal(struct __sk_buff *skb)
{
	u32 key = SEALED_KEY, words[4] = {};
	struct sealed *seen = sealed.lookup(&key);

	if (!seen)
		return DROP;
	seen->packets++;
	seen->ifindex = skb->ifindex;
	seen->priority = skb->priority;
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4)) {
		bpf_skb_load_bytes(skb, TO_IPV4, words, sizeof(words[0]));
		map_ipv4(&seen->to, (u8 *)words);
	} else {
		bpf_skb_load_bytes(skb, TO_IPV6, words, sizeof(words));
		__builtin_memcpy(&seen->to, words, sizeof(words));
	}
	return DROP;
}
