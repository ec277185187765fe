/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_PERSONA_KVP_H
#define TESTS_GUESTS_PERSONA_KVP_H

/* A guest's driver of key-value pairs with its daemon: one pool of pairs, in letters of ASCII. */

#include "persona_ic.h"

#define PERSONA_KVP_MAX 8u

struct persona_kvp {
	struct persona_ic *ic;
	/* How it says that there is no such key or entry: a status; or 0, success with no text in
	 * what it answers. */
	uint32_t none;
	bool get_is_empty; /* what it answers to GET has no value, whatever the pool has */
	struct {
		char key[32], value[32];
	} pairs[PERSONA_KVP_MAX];
	uint32_t count;
};

/* Serves requests until `host`, which runs on a thread of its own, returns. What it asks must be
 * what drivers take. */
void persona_kvp_serve(struct persona_kvp *kvp, void (*host)(void *context), void *context);

#endif
