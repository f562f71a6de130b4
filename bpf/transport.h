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
	/* In both transport headers. */
	SOURCE_PORT = 0,
	DESTINATION_PORT = 2,
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

/* Ethernet frames as most are. */
struct plain_ipv4 {
	u8 link[ETHERNET_HEADER - 2];
	u16 ethertype;
	u8 version;
	u8 service;
	u16 len;
	u8 to_protocol[5];
	u8 protocol;
	u8 to_end[10];
	struct tcp_header transport;
} __attribute__((packed));

struct plain_ipv6 {
	u8 link[ETHERNET_HEADER - 2];
	u16 ethertype;
	u8 version;
	u8 flow[3];
	u16 len;
	u8 protocol;
	u8 to_end[33];
	struct tcp_header transport;
} __attribute__((packed));

/*
 * Find the transport header of a plain Ethernet frame where it is: any helper call takes
 * several times as long. What has no link header may begin like one, if its addresses are
 * chosen for that; so this serves only to pass over packets, by which nothing opens.
 *
 * Return: 0 where *skb* begins otherwise, or is in pages; else the protocol is put there, too.
 */
static __always_inline const struct tcp_header *plain_transport(struct __sk_buff *skb,
								u32 *protocol)
{
	const void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct plain_ipv4 *v4 = data;
	const struct plain_ipv6 *v6 = data;

	if ((const void *)(v4 + 1) > end || v4->ethertype != skb->protocol)
		return 0;
	if (v4->ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		if (v4->version != IPV4_PLAIN || ETHERNET_HEADER + bpf_ntohs(v4->len) > skb->len)
			return 0;
		*protocol = v4->protocol;
		return &v4->transport;
	}
	if (v4->ethertype != bpf_htons(ETHERTYPE_IPV6) || (const void *)(v6 + 1) > end)
		return 0;
	if (v6->version >> 4 != 6 || ETHERNET_HEADER + IPV6_HEADER + bpf_ntohs(v6->len) > skb->len)
		return 0;
	if (v6->protocol != PROTOCOL_TCP && v6->protocol != PROTOCOL_UDP)
		return 0;
	*protocol = v6->protocol;
	return &v6->transport;
}

/*
 * Whether one of the two ports of *skb*, *at* from the start of its transport header, may
 * be that of DNS. Yes where the headers are not the plain ones, or in pages.
 */
static __always_inline int may_be_dns(struct __sk_buff *skb, u32 at)
{
	u32 protocol;
	const struct tcp_header *plain = plain_transport(skb, &protocol);
	u8 start[IPV6_HEADER + 2 * sizeof(u16)];

	if (plain)
		return (at == SOURCE_PORT ? plain->source : plain->destination) ==
		       bpf_htons(DNS_PORT);
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4)) {
		if (load(skb, 0, start, IPV4_HEADER_MIN + 2 * sizeof(u16)) ||
		    start[0] != IPV4_PLAIN)
			return 1;
		return be16(&start[IPV4_HEADER_MIN + at]) == DNS_PORT;
	}
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV6)) {
		if (load(skb, 0, start, sizeof(start)) ||
		    (start[6] != PROTOCOL_TCP && start[6] != PROTOCOL_UDP))
			return 1;
		return be16(&start[IPV6_HEADER + at]) == DNS_PORT;
	}
	return 0;
}

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
