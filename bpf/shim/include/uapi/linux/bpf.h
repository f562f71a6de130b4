/* SPDX-License-Identifier: GPL-2.0-only */
/* Empty: included by bcc, nothing of it is used. */
