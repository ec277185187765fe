/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_ACCOUNT_H
#define KMCL_ACCOUNT_H

/*
 * What an end holds in its memory because of what the other end does, or does not do: a host has
 * one account for its guest, a guest one for its host. Whoever allocates such memory charges it
 * here first, and does something about a refusal that holds the other end up instead of this one: a
 * channel is not read, a GPADL is refused, a guest is not heard. Each kind has a limit of its own,
 * so that none of them depends on another; the account's is their sum.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum account_kind {
	ACCOUNT_PACKETS,  /* incoming ones, which have room for their answers */
	ACCOUNT_GPADLS,   /* half described, described, and as mapped by the driver */
	ACCOUNT_MESSAGES, /* that the other end does not take */
	ACCOUNT_ANSWERS,  /* a guest's, that wait: a part of its ACCOUNT_PACKETS */
	ACCOUNT_KINDS,
};

struct account {
	_Atomic(uint64_t) held[ACCOUNT_KINDS];
};

/* Bytes; less in tests. */
extern _Atomic(uint64_t) account_max[ACCOUNT_KINDS];

/* Of one allocation of that size, with what malloc adds. */
bool account_has_room(const struct account *account, enum account_kind kind, size_t size);
/* Also where there is no room: for what was promised. */
void account_add(struct account *account, enum account_kind kind, size_t size);
void account_subtract(struct account *account, enum account_kind kind, size_t size);
/* False: there is no room. */
bool account_charge(struct account *account, enum account_kind kind, size_t size);

/* Zeroed memory that is charged, or NULL; and its end. */
void *account_allocate(struct account *account, enum account_kind kind, size_t size);
void account_free(struct account *account, enum account_kind kind, void *memory, size_t size);

#endif
