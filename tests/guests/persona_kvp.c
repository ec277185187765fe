/* SPDX-License-Identifier: BSD-2-Clause */
#include "persona_kvp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define POLL_MS 5

static void to_ascii(const uint16_t *units, uint32_t bytes, char *text, uint32_t capacity)
{
	uint32_t count = bytes / 2;

	/* The size counts the NUL, in bytes: FreeBSD (hv_kvp_convert_hostmsg_to_usermsg) and Linux
	 * (kvp_send_key) convert as many and look for none. */
	assert_true(bytes % 2 == 0 && count >= 1 && count <= capacity);
	assert_int_equal(units[count - 1], 0);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(units[i] < 128);
		text[i] = (char)units[i];
	}
}

static uint32_t from_ascii(const char *text, uint16_t *units)
{
	uint32_t count = (uint32_t)strlen(text) + 1;

	for (uint32_t i = 0; i < count; i++)
		units[i] = (uint8_t)text[i];
	return count * 2;
}

static uint32_t find(const struct persona_kvp *k, const char *key)
{
	uint32_t i = 0;

	while (i < k->count && strcmp(k->pairs[i].key, key))
		i++;
	return i;
}

static void set(struct persona_kvp *k, const struct ic_kvp_value *v)
{
	char key[32], value[32];
	uint32_t i;

	to_ascii(v->key, v->key_size, key, sizeof(key));
	assert_int_equal(v->type, IC_KVP_STRING);
	to_ascii(v->text, v->value_size, value, sizeof(value));
	i = find(k, key);
	assert_true(i < PERSONA_KVP_MAX);
	if (i == k->count)
		k->count++;
	snprintf(k->pairs[i].key, sizeof(k->pairs[i].key), "%s", key);
	snprintf(k->pairs[i].value, sizeof(k->pairs[i].value), "%s", value);
}

static uint32_t get(struct persona_kvp *k, struct ic_kvp_value *v)
{
	char key[32];
	uint32_t i;

	to_ascii(v->key, v->key_size, key, sizeof(key));
	i = find(k, key);
	v->type = IC_KVP_STRING;
	v->value_size =
		from_ascii(i < k->count && !k->get_is_empty ? k->pairs[i].value : "", v->text);
	return i < k->count ? IC_S_OK : k->none;
}

static uint32_t delete (struct persona_kvp *k, const struct ic_kvp_delete *d)
{
	char key[32];
	uint32_t i;

	to_ascii(d->key, d->key_size, key, sizeof(key));
	i = find(k, key);
	if (i == k->count)
		return k->none;
	k->pairs[i] = k->pairs[--k->count];
	return IC_S_OK;
}

static uint32_t enumerate(struct persona_kvp *k, struct ic_kvp_enumerate *e)
{
	bool there = e->index < k->count;

	e->value.type = IC_KVP_STRING;
	e->value.key_size = from_ascii(there ? k->pairs[e->index].key : "", e->value.key);
	e->value.value_size = from_ascii(there ? k->pairs[e->index].value : "", e->value.text);
	return there ? IC_S_OK : k->none;
}

static uint32_t serve(struct persona_kvp *k, struct ic_kvp *m)
{
	switch (m->operation) {
	case IC_KVP_SET:
		set(k, &m->value);
		return IC_S_OK;
	case IC_KVP_GET:
		return get(k, &m->value);
	case IC_KVP_DELETE:
		return delete (k, &m->del);
	default:
		assert_int_equal(m->operation, IC_KVP_ENUMERATE);
		return enumerate(k, &m->enumerate);
	}
}

static void serve_one(struct persona_kvp *k)
{
	struct ic_kvp m;

	assert_int_equal(persona_ic_header(k->ic)->type, IC_KVP);
	assert_true(persona_ic_header(k->ic)->size >= sizeof(m));
	memcpy(&m, persona_ic_body(k->ic), sizeof(m));
	persona_ic_header(k->ic)->status = serve(k, &m);
	memcpy(persona_ic_body(k->ic), &m, sizeof(m));
	persona_ic_answer(k->ic, k->ic->size);
}

struct host {
	void (*run)(void *context);
	void *context;
	atomic_bool done;
};

static void *run_host(void *context)
{
	struct host *host = context;

	host->run(host->context);
	atomic_store(&host->done, true);
	return NULL;
}

void persona_kvp_serve(struct persona_kvp *k, void (*run)(void *context), void *context)
{
	struct host host = { .run = run, .context = context };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_host, &host), 0);
	while (!atomic_load(&host.done))
		if (persona_ic_try_receive(k->ic, POLL_MS))
			serve_one(k);
	pthread_join(thread, NULL);
}
