/* SPDX-License-Identifier: GPL-2.0-only */
/* learned.h - whether a connection goes where an answer said. */
#ifndef ENFORCER_LEARNED_H
#define ENFORCER_LEARNED_H

#include "maps.h"

static __always_inline int is_learned(const struct learned_key *key)
{
	struct learned *value = learned.lookup((void *)key);

	return value && value->expires_ns > bpf_ktime_get_ns();
}

#endif
