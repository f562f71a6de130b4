// SPDX-License-Identifier: GPL-2.0-only
/*
 * who_connects.c - cgroup sock_addr: note which process connects, or sends without.
 *
 * What they call came with Linux kernel commit 0f09abd105da ("bpf: Enable bpf cgroup
 * hooks to retrieve cgroup v2 and ancestor id") and those beside it (in v5.7). Before,
 * they don't load, and a denial is told with its user alone.
 */
#include "connector.h"

enum { ALLOW = 1 };

static __always_inline int to_ipv4(struct bpf_sock_addr *ctx)
{
	u32 address = read_back(ctx->user_ip4);
	struct flow_key key = {};

	map_ipv4(&key.destination, (u8 *)&address);
	note_process(ctx, &key);
	return ALLOW;
}

static __always_inline int to_ipv6(struct bpf_sock_addr *ctx)
{
	struct flow_key key = {};
	u32 words[4];

	words[0] = read_back(ctx->user_ip6[0]);
	words[1] = read_back(ctx->user_ip6[1]);
	words[2] = read_back(ctx->user_ip6[2]);
	words[3] = read_back(ctx->user_ip6[3]);
	__builtin_memcpy(&key.destination, words, sizeof(words));
	note_process(ctx, &key);
	return ALLOW;
}

int who_connect4(struct bpf_sock_addr *ctx)
{
	return to_ipv4(ctx);
}

int who_connect6(struct bpf_sock_addr *ctx)
{
	return to_ipv6(ctx);
}

int who_sendmsg4(struct bpf_sock_addr *ctx)
{
	return to_ipv4(ctx);
}

int who_sendmsg6(struct bpf_sock_addr *ctx)
{
	return to_ipv6(ctx);
}
