// SPDX-License-Identifier: GPL-2.0-only
/*
 * judge_connect.c - cgroup sock_addr: tell, and where the ruleset can't answer deny, a
 * connection that the ruleset would not let begin.
 *
 * Nothing is permitted here: what passes meets the ruleset all the same. So whatever is
 * not known for certain passes: other network namespaces, sockets that choose their own
 * way out, destinations without a route, and all of it once user space has not said for
 * some seconds that routes and networks are still the same.
 */
#include "connector.h"

enum {
	DENY,
	PASS,
	/* Of each CPU: as many take user space some hundredths of a second. */
	DENIED_PER_S = 64,
	FAMILY_BITS = 8,
	IPV4_BITS = 32,
	IPV6_BITS = 128,
};

/*
 * By number: not every bcc knows it. Linux kernel commit f318903c0bf4 ("bpf: Add netns
 * cookie and enable it for bpf cgroup hooks") (in v5.7); "bpf: Enable perf event rb output
 * for bpf cgroup progs" came with it. Before, these don't load.
 */
static u64 (*get_netns_cookie)(void *ctx) = (void *)122;

BPF_ARRAY(judging, struct judging, 1);
BPF_LPM_TRIE(places, struct place_key, u32, MAX_PLACES);
BPF_F_TABLE("hash", struct learned_key, struct learned, opened, MAX_OPENED, BPF_F_NO_PREALLOC);
BPF_PERF_OUTPUT(denials);
BPF_PERCPU_ARRAY(denied_lately, struct told, 1);

static __always_inline struct judging *get_judging(void)
{
	u32 zero = 0;

	return judging.lookup(&zero);
}

/* Only a socket of one's own can show a namespace: nobody else's has its cookie. */
static __always_inline int is_of_machine(struct bpf_sock_addr *ctx, struct judging *j)
{
	u64 namespace = get_netns_cookie(ctx);

	if (j->socket && bpf_get_socket_cookie(ctx) == j->socket)
		j->namespace = namespace;
	return namespace == j->namespace;
}

static __always_inline int chooses_its_way(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return !sk || sk->bound_dev_if || sk->mark;
}

static __always_inline int is_open(const struct learned_key *to)
{
	struct learned *value;

	if (is_learned(to))
		return 1;
	if (to->port == DNS_PORT && resolvers.lookup((void *)&to->address))
		return 1;
	value = opened.lookup((void *)to);
	return value && value->expires_ns > bpf_ktime_get_ns();
}

static __always_inline int may_tell_denied(void)
{
	u32 zero = 0;
	struct told *lately = denied_lately.lookup(&zero);
	u64 second = bpf_ktime_get_ns() / NS_PER_S;

	if (!lately)
		return 0;
	if (lately->second != second) {
		lately->second = second;
		lately->count = 0;
	}
	return lately->count++ < DENIED_PER_S;
}

static __always_inline void tell_denied(struct bpf_sock_addr *ctx, const struct learned_key *to)
{
	struct denied_event event = {};

	if (!may_tell_denied())
		return;
	event.destination = to->address;
	event.port = to->port;
	event.who.cgroup = bpf_get_current_cgroup_id();
	event.who.pid = bpf_get_current_pid_tgid() >> 32;
	event.who.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(event.who.name, sizeof(event.who.name));
	denials.perf_submit(ctx, &event, sizeof(event));
}

static __always_inline int judge(struct bpf_sock_addr *ctx, struct judging *j,
				 const struct learned_key *to, struct place_key *at)
{
	u32 *place;

	if (j->until_ns < bpf_ktime_get_ns() || chooses_its_way(ctx))
		return PASS;
	place = places.lookup(at);
	if (!place || *place != PLACE_OUTSIDE || is_open(to))
		return PASS;
	tell_denied(ctx, to);
	if (!(j->flags & JUDGING_DENIES))
		return PASS;
	count(STAT_DENIED);
	return DENY;
}

static __always_inline struct judging *judged(struct bpf_sock_addr *ctx)
{
	struct judging *j = get_judging();

	/* First of all: the socket that shows the namespace is not of TCP. */
	if (!j || !is_of_machine(ctx, j) || !j->flags || ctx->protocol != PROTOCOL_TCP)
		return 0;
	return j;
}

static __always_inline int judge_ipv4(struct bpf_sock_addr *ctx, struct judging *j,
				      const u8 *address)
{
	struct learned_key to = {};
	struct place_key at = { .prefixlen = FAMILY_BITS + IPV4_BITS, .family = 4 };

	map_ipv4(&to.address, address);
	to.port = bpf_ntohs(read_back(ctx->user_port));
	__builtin_memcpy(at.address, address, 4);
	return judge(ctx, j, &to, &at);
}

int judge_connect4(struct bpf_sock_addr *ctx)
{
	struct judging *j = judged(ctx);
	u32 address;

	if (!j)
		return PASS;
	address = read_back(ctx->user_ip4);
	return judge_ipv4(ctx, j, (u8 *)&address);
}

int judge_connect6(struct bpf_sock_addr *ctx)
{
	struct judging *j = judged(ctx);
	struct learned_key to = {};
	struct place_key at = { .prefixlen = FAMILY_BITS + IPV6_BITS, .family = 6 };
	u32 words[4];

	if (!j)
		return PASS;
	words[0] = read_back(ctx->user_ip6[0]);
	words[1] = read_back(ctx->user_ip6[1]);
	words[2] = read_back(ctx->user_ip6[2]);
	words[3] = read_back(ctx->user_ip6[3]);
	/* An IPv4-mapped one (RFC 4291 2.5.5.2) leaves as IPv4. */
	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff))
		return judge_ipv4(ctx, j, (u8 *)&words[3]);
	__builtin_memcpy(&to.address, words, sizeof(words));
	__builtin_memcpy(at.address, words, sizeof(words));
	to.port = bpf_ntohs(read_back(ctx->user_port));
	return judge(ctx, j, &to, &at);
}
