/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/account.h"

#include <stdlib.h>

#define ACCOUNT_OVERHEAD 16u /* of malloc, per allocation */

_Atomic(uint64_t) account_max[ACCOUNT_KINDS] = {
	[ACCOUNT_PACKETS] = 192ull << 20,
	[ACCOUNT_GPADLS] = 48ull << 20,
	/* the largest burst that makes sense, GPADLs of 2^20 pages, is some 11 MiB */
	[ACCOUNT_MESSAGES] = 16ull << 20,
	[ACCOUNT_ANSWERS] = 64ull << 20,
};

static uint64_t account_cost(size_t size)
{
	return (uint64_t)size + ACCOUNT_OVERHEAD;
}

bool account_has_room(const struct account *account, enum account_kind kind, size_t size)
{
	return atomic_load_explicit(&account->held[kind], memory_order_relaxed) +
	               account_cost(size) <=
	       account_max[kind];
}

void account_add(struct account *account, enum account_kind kind, size_t size)
{
	atomic_fetch_add_explicit(&account->held[kind], account_cost(size), memory_order_relaxed);
}

void account_subtract(struct account *account, enum account_kind kind, size_t size)
{
	atomic_fetch_sub_explicit(&account->held[kind], account_cost(size), memory_order_relaxed);
}

bool account_charge(struct account *account, enum account_kind kind, size_t size)
{
	uint64_t cost = account_cost(size);
	uint64_t before =
		atomic_fetch_add_explicit(&account->held[kind], cost, memory_order_relaxed);

	if (before + cost <= account_max[kind])
		return true;
	account_subtract(account, kind, size);
	return false;
}

void *account_allocate(struct account *account, enum account_kind kind, size_t size)
{
	void *memory;

	if (!account_charge(account, kind, size))
		return NULL;
	memory = calloc(1, size);
	if (!memory)
		account_subtract(account, kind, size);
	return memory;
}

void account_free(struct account *account, enum account_kind kind, void *memory, size_t size)
{
	if (!memory)
		return;
	free(memory);
	account_subtract(account, kind, size);
}
