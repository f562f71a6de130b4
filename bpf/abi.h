/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi.h - what the BPF programs and user space agree on.
 *
 * The source of truth: enforcer/abi.py mirrors it and tests/bpf/test_abi.py
 * compares the two. Fields are u8..u64 (bcc's layout decoder exits the process
 * on __u8), padding is explicit.
 */
#ifndef ENFORCER_ABI_H
#define ENFORCER_ABI_H

enum {
	/* Grants carry their ports inline, so that learning needs one lookup. */
	MAX_PORTS = 16,
	/* Reversed name, 253 characters and a terminator (RFC 1035 2.3.4), rounded
	 * up to the largest key an LPM trie takes (LPM_DATA_SIZE_MAX).
	 */
	NAME_SIZE = 256,
	/* A trie's node has room for its longest key. With a grant and what the kernel puts
	 * before them (40 octets before Linux 6.13, 24 and 8 since) this one fills a slab of
	 * 128 octets; one of NAME_SIZE takes 512.
	 */
	SHORT_NAME_SIZE = 52,
	/* The EDNS buffer size that resolvers are known to use at most (RFC 6891 6.2.5). */
	MESSAGE_MAX = 4096,
	/* An answer this late belongs to a client that has given up (RFC 1035 4.2.1
	 * retries after 2-5 s; glibc's largest timeout is 30 s).
	 */
	QUERY_TIMEOUT_S = 30,
	/* Owners move hosts before a long TTL has run out, and common resolvers keep
	 * nothing for longer (unbound's cache-max-ttl).
	 */
	MAX_TTL_S = 86400,
	MAX_QUERIES = 16384,
	/* More than resolvers let wait: dnsmasq 150, unbound 1024 a thread, systemd-resolved
	 * 2048. Four askers that do their worst fill the map in two seconds.
	 */
	MAX_UNANSWERED = 2048,
	MAX_ASKERS = 16384,
	MAX_LEARNED = 65536,
	MAX_RESOLVERS = 4096,
	/* Grows by the node: a bound for the kernel, none for the policy. Before Linux
	 * 5.11 a trie is charged for all of it at once, and 4 GiB are refused (E2BIG).
	 */
	MAX_GRANTS = 1 << 22,
	MAX_REFUSED = 65536,
	/* Of ten seconds of a busy machine: what is denied is looked up at once. */
	MAX_CONNECTORS = 4096,
	/* Of both families, routes and networks. */
	MAX_PLACES = 65536,
	/* What a set of the ruleset holds, of both families. */
	MAX_OPENED = 2 * (65536 + 4096),
};

enum refusal {
	REFUSAL_NEVER = 1,
	REFUSAL_PRIVATE = 2, /* unless the grant is GRANT_PRIVATE */
};

enum grant_flags {
	GRANT_PRIVATE = 1 << 0,
};

enum answer_flags {
	/* Something the strict parser does not take: user space decides. */
	ANSWER_UNUSUAL = 1 << 0,
	/* Not all of it is here: only its question is of use. */
	ANSWER_CUT = 1 << 1,
};

/* Where an address is, as the ruleset sees it. */
enum place {
	PLACE_OUTSIDE = 1, /* by a guarded interface */
	PLACE_PERMITTED = 2, /* by an exempt one, or in a network of the policy */
};

enum judging_flags {
	JUDGING_DENIES = 1 << 0,
	JUDGING_TELLS = 1 << 1, /* though it denies nothing */
};

enum stat {
	STAT_QUERIES, /* remembered queries for a permitted name */
	STAT_ANSWERS, /* answers to them */
	STAT_LEARNED, /* (address, port) pairs learned in the kernel */
	STAT_REFUSED, /* address records that the refused map held back */
	STAT_UNUSUAL, /* answers left to user space */
	STAT_LOST, /* events that did not fit into the perf ring */
	STAT_MARKED, /* first SYNs marked */
	STAT_FAILED, /* map updates that the kernel refused */
	STAT_EXCESS, /* queries of askers that had MAX_UNANSWERED already */
	STAT_DENIED, /* connections that judge_connect denied */
	NR_STATS,
};

/* The index of the one element in the config array, and in that of sealed. */
enum { CONFIG_KEY, SEALED_KEY = 0 };

struct config {
	u32 nonce;
	u32 other_nonce; /* the ruleset in force accepts that mark, too */
	u32 min_ttl_s;
	u32 grace_s;
	/* Not 0 while the connect_mark of an earlier instance runs before this one. */
	u32 beside;
	u32 pad;
	/* By which policy all in the learned map was learned, for the instance that comes
	 * after; 0: by several, or by one that is being put in force.
	 */
	u64 policy;
};

/*
 * A permitted name, reversed so that a suffix becomes a prefix. The dot before
 * the last label is a NUL at the end of an exact name and a dot at the end of a
 * wildcard: "ghcr.io" is "oi.rchg\0", "*.ghcr.io" is "oi.rchg.", which no
 * "ghcr.io" and no "xghcr.io" begins with. Characters are those of host names
 * and '_' alone, so no label can contain the separator.
 */
struct name_key {
	u32 prefixlen; /* bits */
	u8 name[NAME_SIZE];
};

/* The same for names of at most so many octets, the last one above included. */
struct short_name_key {
	u32 prefixlen; /* bits */
	u8 name[SHORT_NAME_SIZE];
};

struct grant {
	u16 ports[MAX_PORTS]; /* host byte order; 0 ends the list */
	u32 flags; /* enum grant_flags */
};

/* Family first: an IPv4-mapped IPv6 address is not the IPv4 address. */
struct refused_key {
	u32 prefixlen; /* bits, the family byte's eight included */
	u8 family; /* 4 or 6 */
	u8 address[16]; /* network byte order; IPv4 in the first four */
	u8 pad[3];
};

/* Addresses below are IPv6, IPv4 ones mapped (RFC 4291 2.5.5.2). */
struct address {
	u8 bytes[16];
};

struct query_key {
	struct address client;
	struct address resolver;
	u32 ifindex;
	u32 protocol; /* UDP or TCP: an answer comes the way its query went */
	u16 port; /* of the client, network byte order */
	u16 id; /* network byte order */
};

/* Who asked, and in which second. */
struct asker {
	u32 ifindex; /* that the query came in by; 0: this machine made it */
	u32 uid; /* of its socket then, otherwise 0; of large ones the upper half */
	u32 second; /* of CLOCK_MONOTONIC */
};

struct query {
	u64 time_ns; /* CLOCK_MONOTONIC */
	struct asker asker;
	u32 pad;
};

struct learned_key {
	struct address address;
	u16 port; /* host byte order */
	u16 pad;
};

struct learned {
	u64 expires_ns; /* CLOCK_MONOTONIC */
};

/* What was connected; but for TCP, by its destination alone. */
struct flow_key {
	struct address source;
	struct address destination;
	u32 protocol;
	u16 source_port; /* host byte order */
	u16 destination_port; /* likewise */
};

/* The process that did. */
struct connector {
	u64 cgroup; /* id in cgroup v2 */
	u32 pid; /* as the machine counts them, of the whole process */
	u32 uid;
	char name[16]; /* of the thread, TASK_COMM_LEN */
};

/* The longest prefix of an address says where it is, enum place. */
struct place_key {
	u32 prefixlen; /* bits, the family byte's eight included */
	u8 family; /* 4 or 6 */
	u8 address[16]; /* network byte order; IPv4 in the first four */
	u8 pad[3];
};

/* Whose connections are judged where they begin, and until when. */
struct judging {
	u64 socket; /* cookie of the one that shows its network namespace by connecting */
	u64 namespace; /* cookie of that namespace; 0: not shown yet */
	u64 until_ns; /* CLOCK_MONOTONIC: what is known of places is true so long */
	u32 flags; /* enum judging_flags */
	u32 pad;
};

/* A connection that the ruleset would not let begin. */
struct denied_event {
	struct address destination;
	u16 port; /* host byte order */
	u16 pad;
	u32 pad2;
	struct connector who;
};

/* What came to the end of a sealed socket. */
struct sealed {
	u64 packets;
	u32 ifindex; /* the last would have left by, */
	u32 priority; /* it had */
	struct address to; /* and would have gone there */
};

/* Followed by len bytes of the DNS message. */
struct answer_event {
	u64 time_ns; /* CLOCK_MONOTONIC */
	u32 flags; /* enum answer_flags */
	u32 len;
};

#endif
