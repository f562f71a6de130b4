/* SPDX-License-Identifier: GPL-2.0-only */
/* transport.h - the headers of UDP and TCP. */
#ifndef ENFORCER_TRANSPORT_H
#define ENFORCER_TRANSPORT_H

#include "packet.h"

enum {
	UDP_HEADER = 8, /* RFC 768 */
	TCP_HEADER_MIN = 20, /* RFC 9293 3.1 */
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	DNS_PORT = 53,
};

enum {
	/* RFC 9293 3.1, fourteenth byte */
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	TCP_OPENING = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK,
};

struct udp_header {
	u16 source;
	u16 destination;
	u16 len;
	u16 checksum;
};

struct tcp_header {
	u16 source;
	u16 destination;
	u32 sequence;
	u32 acknowledged;
	u8 size; /* in words of 4 bytes, in the upper half */
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

/* Both begin with the ports. */
union transport {
	struct udp_header udp;
	struct tcp_header tcp;
};

/* Most packets are seen to be no DNS by these four bytes. */
static __always_inline int load_ports(struct __sk_buff *skb, const struct packet *p,
				      union transport *t)
{
	if (p->protocol != PROTOCOL_UDP && p->protocol != PROTOCOL_TCP)
		return -1;
	return load_header(skb, p->offset, t, 2 * sizeof(u16));
}

static __always_inline int load_udp(struct __sk_buff *skb, const struct packet *p,
				    union transport *t)
{
	return load(skb, p->offset, &t->udp, sizeof(t->udp));
}

static __always_inline int load_tcp(struct __sk_buff *skb, const struct packet *p,
				    union transport *t)
{
	return load(skb, p->offset, &t->tcp, sizeof(t->tcp));
}

#endif
