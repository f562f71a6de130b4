/* SPDX-License-Identifier: GPL-2.0-only */
/* packet.h - from a packet to the transport header in it, IPv4 and IPv6. */
#ifndef ENFORCER_PACKET_H
#define ENFORCER_PACKET_H

#include "abi.h"

enum {
	TC_ACT_UNSPEC = -1, /* goes on to whatever else is attached */
	IPV4_HEADER_MIN = 20, /* RFC 791 3.1 */
	IPV6_HEADER = 40, /* RFC 8200 3 */
	UDP_HEADER = 8, /* RFC 768 */
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	DNS_PORT = 53,
	IPV4_FRAGMENT = 0x3fff, /* more fragments, or not the first */
};

enum {
	/* RFC 9293 3.1, fourteenth byte */
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	TCP_OPENING = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK,
};

struct packet {
	struct address source;
	struct address destination;
	u32 offset; /* of the transport header, from the network header */
	u32 protocol;
};

struct datagram {
	struct address source;
	struct address destination;
	u16 source_port; /* network byte order */
	u16 destination_port; /* network byte order */
	u32 offset; /* of the payload, from the network header */
	u32 len; /* of the payload, as the UDP header says */
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

static __always_inline void map_ipv4(struct address *to, const u8 *from)
{
	__builtin_memset(to, 0, 10);
	to->bytes[10] = 0xff;
	to->bytes[11] = 0xff;
	__builtin_memcpy(&to->bytes[12], from, 4);
}

/*
 * Read at *offset* from the network header, which is right for Ethernet, tun and
 * loopback devices alike.
 */
static __always_inline int load(struct __sk_buff *skb, u32 offset, void *to, u32 len)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET);
}

/*
 * Find the transport header of *skb*. Fragments and IPv6 extension headers are not
 * walked.
 *
 * Return: 0, or -1 where there is none.
 */
static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *p)
{
	u8 header[IPV6_HEADER];

	if (load(skb, 0, header, IPV4_HEADER_MIN))
		return -1;
	if (header[0] >> 4 == 4) {
		if ((header[6] << 8 | header[7]) & IPV4_FRAGMENT)
			return -1;
		map_ipv4(&p->source, &header[12]);
		map_ipv4(&p->destination, &header[16]);
		p->protocol = header[9];
		p->offset = (header[0] & 0xf) * 4;
	} else if (header[0] >> 4 == 6) {
		if (load(skb, 0, header, IPV6_HEADER))
			return -1;
		__builtin_memcpy(&p->source, &header[8], 16);
		__builtin_memcpy(&p->destination, &header[24], 16);
		p->protocol = header[6];
		p->offset = IPV6_HEADER;
	} else {
		return -1;
	}
	return 0;
}

/*
 * Find the UDP datagram in *skb*.
 *
 * Return: 0, or -1 where there is none.
 */
static __always_inline int parse_udp(struct __sk_buff *skb, struct datagram *d)
{
	struct udp_header udp;
	struct packet p = {};

	if (parse_ip(skb, &p) || p.protocol != PROTOCOL_UDP)
		return -1;
	if (load(skb, p.offset, &udp, sizeof(udp)))
		return -1;
	d->source = p.source;
	d->destination = p.destination;
	d->source_port = udp.source;
	d->destination_port = udp.destination;
	d->offset = p.offset + UDP_HEADER;
	d->len = bpf_ntohs(udp.len) - UDP_HEADER;
	return 0;
}

#endif
