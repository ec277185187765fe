/* SPDX-License-Identifier: BSD-2-Clause */
#include "visit.h"

void visit_beat(struct visit *v, struct persona_ic *ic, int beats)
{
	struct heartbeat_info info;

	for (int i = 0; i < beats; i++)
		persona_ic_beat(ic);
	persona_ic_receive(ic); /* the next one: those before it were taken */
	heartbeat_info(v->host.heartbeat, &info);
	assert_int_equal(info.state, HEARTBEAT_OK);
	assert_int_equal(info.ic.wrong, 0);
}

/* ---- pairs ---- */

/* What the host's calls came to, for the thread that may fail the test. */
struct asked {
	struct kvp *kvp;
	NTSTATUS set, got, got_none, listed, deleted, deleted_none;
	struct kvp_value value;
	uint32_t count;
	struct kvp_entry entry; /* the last listed */
};

static NTSTATUS set_text(struct kvp *kvp, const char *key, const char *text)
{
	struct kvp_value value = { .type = IC_KVP_STRING };

	strcpy(value.text, text);
	return kvp_set(kvp, KVP_POOL_EXTERNAL, key, &value, PERSONA_WAIT_MS);
}

static void list(struct asked *a)
{
	do
		a->listed = kvp_enumerate(a->kvp, KVP_POOL_EXTERNAL, a->count, &a->entry,
		                          PERSONA_WAIT_MS);
	while (NT_SUCCESS(a->listed) && ++a->count < 10);
}

static void ask(void *context)
{
	const enum kvp_pool pool = KVP_POOL_EXTERNAL;
	struct asked *a = context;
	struct kvp_value none;

	a->set = set_text(a->kvp, "color", "blue");
	if (NT_SUCCESS(a->set))
		a->set = set_text(a->kvp, "answer", "42");
	a->got = kvp_get(a->kvp, pool, "answer", &a->value, PERSONA_WAIT_MS);
	a->got_none = kvp_get(a->kvp, pool, "nothing", &none, PERSONA_WAIT_MS);
	list(a);
	a->deleted = kvp_delete(a->kvp, pool, "color", PERSONA_WAIT_MS);
	a->deleted_none = kvp_delete(a->kvp, pool, "nothing", PERSONA_WAIT_MS);
}

void visit_pairs(struct visit *v, struct persona_kvp *kvp)
{
	struct asked a = { .kvp = v->host.kvp };
	struct ic_statistics statistics;

	persona_kvp_serve(kvp, ask, &a);
	assert_int_equal(a.set, STATUS_SUCCESS);
	assert_int_equal(a.got, STATUS_SUCCESS);
	assert_string_equal(a.value.text, "42");
	assert_int_equal(a.got_none, STATUS_NOT_FOUND);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.listed, STATUS_NO_MORE_ENTRIES);
	assert_int_equal(a.deleted, STATUS_SUCCESS);
	/* A driver that says that all is well whatever its daemon says is believed. */
	assert_int_equal(a.deleted_none, kvp->none ? STATUS_NOT_FOUND : STATUS_SUCCESS);
	assert_int_equal(kvp->count, 1);
	assert_string_equal(kvp->pairs[0].key, "answer");
	kvp_statistics(v->host.kvp, &statistics);
	assert_int_equal(statistics.wrong, 0);
}
