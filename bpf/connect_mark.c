// SPDX-License-Identifier: GPL-2.0-only
/*
 * connect_mark.c - cgroup sock_ops: mark the first SYN to a learned address with
 * the nonce, so that the ruleset lets it pass before user space has programmed
 * the set. One that is sent again may have been given the mark meanwhile, by whoever
 * has CAP_NET_RAW for the socket, or have been learned for no longer.
 */
#include "connector.h"

enum {
	LEVEL_SOCKET = 1,
	OPTION_MARK = 36,
	SYN_SENT = 2, /* net/tcp_states.h */
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

/* A mark of somebody else routes for them. */
static __always_inline int may_be_marked(const struct config *cfg, const struct bpf_sock *sk)
{
	return sk->mark == 0 || is_nonce(cfg, sk->mark);
}

static __always_inline void judge_first_syn(struct bpf_sock_ops *ops, const struct config *cfg,
					    const struct bpf_sock *sk)
{
	struct learned_key to = {};
	int learned;

	if (read_destination(ops, &to))
		return;
	learned = is_learned(&to);
	if (!learned)
		note_connection(ops, &to);
	if (!may_be_marked(cfg, sk))
		return;
	if (learned) {
		set_mark(ops, cfg->nonce);
		count(STAT_MARKED);
	} else if (sk->mark && !cfg->beside) {
		/* Ours stays on a socket that is connected again, to another address. Beside
		 * another, that one has taken away what is not of now.
		 */
		set_mark(ops, 0);
	}
}

static __always_inline void judge_syn_again(struct bpf_sock_ops *ops, const struct config *cfg,
					    const struct bpf_sock *sk)
{
	struct learned_key to = {};

	if (ops->state != SYN_SENT || sk->mark == 0 || !is_nonce(cfg, sk->mark) || cfg->beside)
		return;
	if (!read_destination(ops, &to) && !is_learned(&to))
		set_mark(ops, 0);
}

int connect_mark(struct bpf_sock_ops *ops)
{
	struct config *cfg = get_config();
	struct bpf_sock *sk = ops->sk;

	if (!cfg || !sk)
		return 1;
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTO_CB_FLAG);
		judge_first_syn(ops, cfg, sk);
	} else if (ops->op == BPF_SOCK_OPS_RTO_CB) {
		judge_syn_again(ops, cfg, sk);
	} else if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		/* Conntrack knows the connection from here on. */
		if (sk->mark != 0 && is_nonce(cfg, sk->mark))
			set_mark(ops, 0);
	}
	return 1;
}
