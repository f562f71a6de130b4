/* SPDX-License-Identifier: GPL-2.0-only */
/* packet.h - from a packet to the transport header in it, IPv4 and IPv6. */
#ifndef ENFORCER_PACKET_H
#define ENFORCER_PACKET_H

#include "abi.h"

enum {
	TC_ACT_UNSPEC = -1, /* goes on to whatever else is attached */
	TC_ACT_SHOT = 2,
	LOOPBACK_IFINDEX = 1, /* include/net/net_namespace.h */
	ETHERNET_HEADER = 14,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	IPV4_HEADER_MIN = 20, /* RFC 791 3.1 */
	IPV4_PLAIN = 0x45, /* version 4, no options */
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_FRAGMENT_OFFSET = 0x1fff,
	IPV6_HEADER = 40, /* RFC 8200 3 */
	IPV6_HOP_BY_HOP = 0, /* 4.3 */
	IPV6_FRAGMENT = 44, /* 4.5 */
	IPV6_DESTINATION = 60, /* 4.6 */
	IPV6_MORE_FRAGMENTS = 0x0001,
	IPV6_FRAGMENT_OFFSET = 0xfff8,
	/* Each kind once, destination options twice (4.1). */
	MAX_EXTENSIONS = 4,
	/* Link, IP and transport header, and more options than anybody sends. */
	HEADERS_MAX = 256,
};

enum packet_flags {
	/* The first of several fragments: the others hold the rest. */
	PACKET_FRAGMENT = 1 << 0,
	/* IPv4 options or IPv6 extension headers stand before the transport header. */
	PACKET_EXTENDED = 1 << 1,
};

/* Offsets are from the network header. */
struct packet {
	struct address source;
	struct address destination;
	u32 offset; /* of the transport header */
	u32 end; /* as the IP header says: a short frame is padded */
	u32 protocol;
	u32 flags; /* enum packet_flags */
};

static __always_inline u16 be16(const u8 *p)
{
	return p[0] << 8 | p[1];
}

static __always_inline void map_ipv4(struct address *to, const u8 *from)
{
	__builtin_memset(to, 0, 10);
	to->bytes[10] = 0xff;
	to->bytes[11] = 0xff;
	__builtin_memcpy(&to->bytes[12], from, 4);
}

/*
 * Read at *offset* from the network header, which is right for Ethernet, tun and
 * loopback devices alike. Reads no pages: see pull().
 */
static __always_inline int load(struct __sk_buff *skb, u32 offset, void *to, u32 len)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET);
}

/*
 * Put the first *len* bytes of *skb*, or all, where load() reads them. What TCP sends
 * is in pages, and so is what many drivers receive, but for the link header.
 */
static __always_inline int pull(struct __sk_buff *skb, u32 len)
{
	return bpf_skb_pull_data(skb, len < skb->len ? len : skb->len);
}

static __always_inline int load_header(struct __sk_buff *skb, u32 offset, void *to, u32 len)
{
	if (!load(skb, offset, to, len))
		return 0;
	return pull(skb, HEADERS_MAX) || load(skb, offset, to, len);
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	u8 header[IPV4_HEADER_MIN];
	u16 fragment;

	if (load_header(skb, 0, header, sizeof(header)) || header[0] >> 4 != 4)
		return -1;
	fragment = be16(&header[6]);
	if (fragment & IPV4_FRAGMENT_OFFSET)
		return -1;
	map_ipv4(&p->source, &header[12]);
	map_ipv4(&p->destination, &header[16]);
	p->protocol = header[9];
	p->offset = (header[0] & 0xf) * 4;
	p->end = be16(&header[2]);
	p->flags = fragment & IPV4_MORE_FRAGMENTS ? PACKET_FRAGMENT : 0;
	if (p->offset < IPV4_HEADER_MIN)
		return -1;
	if (p->offset > IPV4_HEADER_MIN)
		p->flags |= PACKET_EXTENDED;
	return 0;
}

/*
 * Walks options only: a routing header leads on from the destination named here,
 * and what is behind other headers can't be read.
 */
static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	u8 header[IPV6_HEADER];
	u8 extension[4];
	u16 fragment;

	if (load_header(skb, 0, header, sizeof(header)) || header[0] >> 4 != 6)
		return -1;
	__builtin_memcpy(&p->source, &header[8], 16);
	__builtin_memcpy(&p->destination, &header[24], 16);
	p->protocol = header[6];
	p->offset = IPV6_HEADER;
	p->end = IPV6_HEADER + be16(&header[4]);
	p->flags = 0;
	for (u32 i = 0; i < MAX_EXTENSIONS; i++) {
		u32 kind = p->protocol;

		if (kind != IPV6_HOP_BY_HOP && kind != IPV6_DESTINATION && kind != IPV6_FRAGMENT)
			break;
		if (load_header(skb, p->offset, extension, sizeof(extension)))
			return -1;
		p->flags |= PACKET_EXTENDED;
		if (kind == IPV6_FRAGMENT) {
			fragment = be16(&extension[2]);
			if (fragment & IPV6_FRAGMENT_OFFSET)
				return -1;
			if (fragment & IPV6_MORE_FRAGMENTS)
				p->flags |= PACKET_FRAGMENT;
			p->offset += 8;
		} else {
			p->offset += (extension[1] + 1) * 8;
		}
		p->protocol = extension[0];
	}
	return 0;
}

/*
 * Find the transport header of *skb*. Its protocol is the kernel's word: a frame of
 * another one may begin like IP.
 *
 * Return: 0, or -1 where there is none, as in all fragments but the first.
 */
static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *p)
{
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4)) {
		if (parse_ipv4(skb, p))
			return -1;
	} else if (skb->protocol == bpf_htons(ETHERTYPE_IPV6)) {
		if (parse_ipv6(skb, p))
			return -1;
	} else {
		return -1;
	}
	return p->offset <= p->end ? 0 : -1;
}

#endif
