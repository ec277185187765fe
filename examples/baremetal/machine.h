/* SPDX-License-Identifier: BSD-2-Clause */

/* What system.c has of its machine: bare.c is one without anything, hosted.c a process on Linux. */

#include "vmbus_guest.h"

extern const struct vg_platform machine_platform;

void *machine_pages(uint32_t count); /* that a host can see, zeroed; NULL: no more */
void machine_feed(struct vg *vg);    /* with what the host has said */
void machine_print(const char *text);
void machine_end(void *context);
void system_main(void);
