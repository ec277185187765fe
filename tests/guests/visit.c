/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "visit.h"

void visit_beat(struct visit *v, struct persona_ic *ic, int beats)
{
	for (int i = 0; i < beats; i++)
		persona_ic_beat(ic);
	persona_ic_receive(ic); /* the next one: those before it were taken */
	services_assert_heartbeat(&v->host);
}

/* ---- pairs ---- */

/* What the host's calls came to, for the thread that may fail the test. */
struct asked {
	struct kmcl_kvp *kvp;
	int set, got, got_none, listed, deleted, deleted_none;
	struct kmcl_kvp_value value;
	uint32_t count;
	struct kmcl_kvp_entry entry; /* the last listed */
};

static int set_text(struct kmcl_kvp *kvp, const char *key, const char *text)
{
	struct kmcl_kvp_value value = { .type = KMCL_KVP_STRING };

	strcpy(value.text, text);
	return kmcl_kvp_set(kvp, KMCL_KVP_POOL_EXTERNAL, key, &value, PERSONA_WAIT_MS);
}

static void list(struct asked *a)
{
	do
		a->listed = kmcl_kvp_enumerate(a->kvp, KMCL_KVP_POOL_EXTERNAL, a->count, &a->entry,
		                               PERSONA_WAIT_MS);
	while (!a->listed && ++a->count < 10);
}

static void ask(void *context)
{
	const enum kmcl_kvp_pool pool = KMCL_KVP_POOL_EXTERNAL;
	struct asked *a = context;
	struct kmcl_kvp_value none;

	a->set = set_text(a->kvp, "color", "blue");
	if (!a->set)
		a->set = set_text(a->kvp, "answer", "42");
	a->got = kmcl_kvp_get(a->kvp, pool, "answer", &a->value, PERSONA_WAIT_MS);
	a->got_none = kmcl_kvp_get(a->kvp, pool, "nothing", &none, PERSONA_WAIT_MS);
	list(a);
	a->deleted = kmcl_kvp_delete(a->kvp, pool, "color", PERSONA_WAIT_MS);
	a->deleted_none = kmcl_kvp_delete(a->kvp, pool, "nothing", PERSONA_WAIT_MS);
}

void visit_pairs(struct visit *v, struct persona_kvp *kvp)
{
	struct asked a = { .kvp = v->host.kvp };
	struct kmcl_ic_statistics statistics = { .size = sizeof(statistics) };

	persona_kvp_serve(kvp, ask, &a);
	assert_int_equal(a.set, 0);
	assert_int_equal(a.got, 0);
	assert_string_equal(a.value.text, "42");
	assert_int_equal(a.got_none, -ENOENT);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.listed, -ENODATA);
	assert_int_equal(a.deleted, 0);
	/* A driver that says that all is well whatever its daemon says is believed. */
	assert_int_equal(a.deleted_none, kvp->none ? -ENOENT : 0);
	assert_int_equal(kvp->count, 1);
	assert_string_equal(kvp->pairs[0].key, "answer");
	kmcl_kvp_get_statistics(v->host.kvp, &statistics);
	assert_int_equal(statistics.wrong, 0);
}
