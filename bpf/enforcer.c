// SPDX-License-Identifier: GPL-2.0-only
/*
 * enforcer.c - all programs as one object, so that they share their maps.
 */
#include "dns_query.c"
#include "dns_answer.c"
#include "connect_mark.c"
#include "who_connects.c"
#include "judge_connect.c"
#include "forward_mark.c"
#include "seal.c"
