/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * connector.h - which process a packet comes from, for user space to look up when the
 * packet was denied. Nothing is decided by it.
 *
 * The process is known when it connects, its port and address a little later, in the
 * same system call: what it is waits for that in per-CPU space, with the cookie of its
 * socket, because the kernel may have gone on elsewhere. Then it is not noted.
 */
#ifndef ENFORCER_CONNECTOR_H
#define ENFORCER_CONNECTOR_H

#include "learned.h"
#include "transport.h"

enum {
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
};

struct connecting {
	u64 cookie;
	struct connector who;
};

BPF_PERCPU_ARRAY(connecting, struct connecting, 1);
BPF_TABLE("lru_hash", struct flow_key, struct connector, connectors, MAX_CONNECTORS);

static __always_inline struct connecting *get_connecting(void)
{
	u32 zero = 0;

	return connecting.lookup(&zero);
}

/* Note that the socket of *ops* connects to *to*, from which address and port it does. */
static __always_inline void note_connection(struct bpf_sock_ops *ops, const struct learned_key *to)
{
	struct connecting *c = get_connecting();
	struct flow_key key = { .protocol = PROTOCOL_TCP };
	u32 words[4];

	if (!c || c->cookie != bpf_get_socket_cookie(ops))
		return;
	if (ops->family == FAMILY_INET) {
		words[0] = ops->local_ip4;
		map_ipv4(&key.source, (u8 *)words);
	} else {
		words[0] = read_back(ops->local_ip6[0]);
		words[1] = read_back(ops->local_ip6[1]);
		words[2] = read_back(ops->local_ip6[2]);
		words[3] = read_back(ops->local_ip6[3]);
		__builtin_memcpy(&key.source, words, sizeof(words));
	}
	key.source_port = read_back(ops->local_port);
	key.destination = to->address;
	key.destination_port = to->port;
	connectors.update(&key, &c->who);
}

/*
 * Note the process at hand as the one that connects, or sends, to *key*: TCP's for
 * note_connection(); of others, the last one of a destination.
 */
static __always_inline void note_process(struct bpf_sock_addr *ctx, struct flow_key *key)
{
	struct connecting *c = get_connecting();
	struct connector *known;

	if (!c)
		return;
	c->cookie = bpf_get_socket_cookie(ctx);
	c->who.cgroup = bpf_get_current_cgroup_id();
	c->who.pid = bpf_get_current_pid_tgid() >> 32;
	c->who.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(c->who.name, sizeof(c->who.name));
	key->protocol = ctx->protocol;
	if (key->protocol == PROTOCOL_TCP)
		return;
	key->destination_port = bpf_ntohs(read_back(ctx->user_port));
	known = connectors.lookup(key);
	if (!known || known->pid != c->who.pid)
		connectors.update(key, &c->who);
}

#endif
