/* SPDX-License-Identifier: GPL-2.0-only */
/* bcc includes this first of all; its bpf.h asks for the one option. */
#define CONFIG_BPF_SYSCALL 1
