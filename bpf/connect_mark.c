// SPDX-License-Identifier: GPL-2.0-only
/*
 * connect_mark.c - cgroup sock_ops: mark the first SYN to a learned address with
 * the nonce, so that the ruleset lets it pass before user space has programmed
 * the set.
 */
#include "connector.h"

enum {
	LEVEL_SOCKET = 1,
	OPTION_MARK = 36,
};

static __always_inline int is_nonce(const struct config *cfg, u32 mark)
{
	return mark == cfg->nonce || mark == cfg->other_nonce;
}

static __always_inline void set_mark(struct bpf_sock_ops *ops, u32 mark)
{
	bpf_setsockopt(ops, LEVEL_SOCKET, OPTION_MARK, &mark, sizeof(mark));
}

/* Return: 0, or -1 where the socket of *ops* is of no IP. */
static __always_inline int read_destination(struct bpf_sock_ops *ops, struct learned_key *to)
{
	u32 words[4];

	if (ops->family == FAMILY_INET) {
		words[0] = ops->remote_ip4;
		map_ipv4(&to->address, (u8 *)words);
	} else if (ops->family == FAMILY_INET6) {
		/* Read one by one: LLVM would merge two, the verifier wants 4 bytes. */
		words[0] = read_back(ops->remote_ip6[0]);
		words[1] = read_back(ops->remote_ip6[1]);
		words[2] = read_back(ops->remote_ip6[2]);
		words[3] = read_back(ops->remote_ip6[3]);
		__builtin_memcpy(&to->address, words, sizeof(words));
	} else {
		return -1;
	}
	to->port = bpf_ntohl(ops->remote_port);
	return 0;
}

static __always_inline int leads_to_learned(struct bpf_sock_ops *ops)
{
	struct learned_key to = {};

	if (read_destination(ops, &to))
		return 0;
	if (is_learned(&to))
		return 1;
	note_connection(ops, &to);
	return 0;
}

int connect_mark(struct bpf_sock_ops *ops)
{
	struct config *cfg = get_config();
	struct bpf_sock *sk = ops->sk;
	int learned;

	if (!cfg || !sk)
		return 1;
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		learned = leads_to_learned(ops);
		/* A mark of somebody else routes for them. Ours stays on a socket that is
		 * connected again, to another address: that one must be learned too.
		 */
		if (sk->mark != 0 && !is_nonce(cfg, sk->mark))
			return 1;
		if (learned) {
			set_mark(ops, cfg->nonce);
			count(STAT_MARKED);
		} else if (sk->mark && !cfg->beside) {
			/* Beside another, that one has taken away what is not of now. */
			set_mark(ops, 0);
		}
	} else if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		/* Conntrack knows the connection from here on. */
		if (sk->mark != 0 && is_nonce(cfg, sk->mark))
			set_mark(ops, 0);
	}
	return 1;
}
