/* SPDX-License-Identifier: GPL-2.0-only */
/* bcc's helpers.h stamps programs with it; the kernel reads the stamp of kprobes alone. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 4, 0)
