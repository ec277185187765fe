/* SPDX-License-Identifier: BSD-2-Clause */

/* Two processors, for kit_guest.c. Interrupts are on only while one waits. */

#include "vmbus_guest.h"

#define MACHINE_CPUS 2u

extern const struct vg_platform machine_platform;

void *machine_pages(uint32_t count); /* zeroed; NULL: no more */
void machine_print(const char *text, uint64_t number);
void machine_end(void);
uint64_t machine_reference(void);     /* 100 ns */
void machine_messages(struct vg *vg); /* the first processor's: takes in what is there */
void machine_events(uint32_t cpu);    /* clears its flags */
void machine_wait(void);              /* for an interrupt */
void machine_wake(uint32_t cpu);      /* by an interrupt */

/* The guest's: neither returns. */
void guest_first(void);
void guest_second(void);
