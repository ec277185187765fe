/* SPDX-License-Identifier: BSD-2-Clause */
/* The key-value component with a guest that keeps pools as Linux's does, and with others. The
 * argument of this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ic_guest.h"
#include "ic/kvp_message.h"

#include "../temporary.h"

#define LONG_MS 20000u
#define RECORDS 8u

static const char *uri_pattern = "local:kvp-%d-%u";

static const GUID type = {
	0xa9a0f4e7, 0x5a45, 0x4d96, { 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6 }
};
static const struct ic_version all[] = { { 5, 0 }, { 4, 0 }, { 3, 0 }, { 1, 0 }, { 0, 0 } };
static const struct ic_version *const linux61 = all + 1;

struct record {
	char key[KMCL_KVP_KEY_MAX];
	struct kmcl_kvp_value value;
};

struct fixture {
	struct ic_fixture ends;
	struct kmcl_kvp *host;
	/* The guest's. */
	struct record pools[KMCL_KVP_POOLS][RECORDS];
	uint32_t counts[KMCL_KVP_POOLS];
	bool as_linux; /* its answers to GET are empty, its values strings, its AUTO pool not read
	                */
	char adapter[128];
	struct kmcl_kvp_ip_info ip; /* told to the host, or by it */
	bool endless;
	bool all_is_well; /* as FreeBSD 10: what is not there is success and a string without
	                     letters */
};

/* ---- the guest ---- */

static struct record *find(struct fixture *f, uint8_t pool, const uint16_t *units)
{
	char key[KMCL_KVP_KEY_MAX];
	uint32_t i;

	if (!utf16_to_utf8(units, IC_KVP_KEY_BYTES / 2, key, sizeof(key)))
		return NULL;
	for (i = 0; i < f->counts[pool]; i++) {
		if (!strcmp(f->pools[pool][i].key, key))
			return &f->pools[pool][i];
	}
	return NULL;
}

static uint32_t keep(struct fixture *f, struct ic_kvp *m)
{
	struct record *r = find(f, m->pool, m->value.key);
	struct kvp_fault fault;

	if (!r && f->counts[m->pool] == RECORDS)
		return IC_E_DISK_FULL;
	if (!r)
		r = &f->pools[m->pool][f->counts[m->pool]++];
	utf16_to_utf8(m->value.key, m->value.key_size / 2, r->key, sizeof(r->key));
	kvp_answer_value((union kvp_message *)m, sizeof(*m), &r->value, &fault);
	if (f->as_linux && r->value.type == KMCL_KVP_U32)
		snprintf(r->value.text, sizeof(r->value.text), "%u", (uint32_t)r->value.number);
	if (f->as_linux)
		r->value.type = KMCL_KVP_STRING;
	return IC_S_OK;
}

static uint32_t give(struct fixture *f, struct ic_kvp *m)
{
	struct record *r = find(f, m->pool, m->value.key);
	struct kmcl_kvp_value empty = { .type = KMCL_KVP_STRING };

	if (f->all_is_well ? false : !r || (f->as_linux && m->pool == KMCL_KVP_POOL_AUTO))
		return IC_E_NO_MORE_ITEMS;
	kvp_message_value((union kvp_message *)m, f->as_linux || !r ? &empty : &r->value);
	return IC_S_OK;
}

static uint32_t drop(struct fixture *f, struct ic_kvp *m)
{
	struct record *r = find(f, m->pool, m->del.key);

	if (!r)
		return IC_E_NO_MORE_ITEMS;
	*r = f->pools[m->pool][--f->counts[m->pool]];
	return IC_S_OK;
}

static uint32_t list(struct fixture *f, struct ic_kvp *m)
{
	uint32_t index = m->enumerate.index;
	struct ic_kvp_value value;
	union kvp_message other;

	if (f->endless)
		index %= f->counts[m->pool];
	if (f->all_is_well && index >= f->counts[m->pool]) {
		m->enumerate.value.type = IC_KVP_STRING;
		m->enumerate.value.key_size = m->enumerate.value.value_size = 2;
		return IC_S_OK;
	}
	if (index >= f->counts[m->pool])
		return IC_E_NO_MORE_ITEMS;
	kvp_message_key(&other, IC_KVP_SET, m->pool, f->pools[m->pool][index].key);
	kvp_message_value(&other, &f->pools[m->pool][index].value);
	value = other.kvp.value;
	m->enumerate.value = value;
	return IC_S_OK;
}

static uint32_t adapters(struct fixture *f, struct ic_guest_message *g, union kvp_message *m)
{
	uint32_t version = ic_version_number(g->header.message);
	bool binary = g->header.message.major >= 5, set = m->kvp.operation == IC_KVP_SET_IP;
	struct kvp_fault fault;
	char adapter[512];

	utf16_to_utf8(binary ? m->binary.adapter : m->text.adapter, IC_KVP_ADAPTER, adapter,
	              sizeof(adapter));
	if (strcmp(adapter, f->adapter) != 0)
		return IC_E_NOT_FOUND;
	if (set)
		return kvp_answer_ip(m, g->size, version, &f->ip, &fault) ? IC_S_OK : IC_E_FAIL;
	return kvp_message_ip(m, version, &f->ip) ? IC_S_OK : IC_E_FAIL;
}

static void serve(struct ic_guest *guest, struct ic_guest_message *g)
{
	struct fixture *f = guest->context;
	union kvp_message m = { 0 };

	memcpy(&m, g->body, g->size);
	switch (m.kvp.operation) {
	case IC_KVP_GET:
		g->header.status = give(f, &m.kvp);
		break;
	case IC_KVP_SET:
		g->header.status = keep(f, &m.kvp);
		break;
	case IC_KVP_DELETE:
		g->header.status = drop(f, &m.kvp);
		break;
	case IC_KVP_ENUMERATE:
		g->header.status = list(f, &m.kvp);
		break;
	case IC_KVP_GET_IP:
	case IC_KVP_SET_IP:
		g->header.status = adapters(f, g, &m);
		break;
	default:
		g->header.status = IC_E_NOT_SUPPORTED;
	}
	memcpy(g->body, &m, g->size);
}

/* ---- the fixture ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_ic_options options = { .size = sizeof(options) };

	*state = f;
	ic_log_begin();
	f->as_linux = true;
	strcpy(f->adapter, "00:15:5D:01:02:03");
	f->ends.guest.type = type;
	f->ends.guest.frameworks = ic_guest_frameworks;
	f->ends.guest.versions = linux61;
	f->ends.guest.request = serve;
	f->ends.guest.context = f;
	if (!ic_fixture_open(&f->ends, uri_pattern) ||
	    kmcl_kvp_create(kmcl_host_of_handle(f->ends.vmbus), &options, &f->host))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ic_guest_close(&f->ends.guest);
	kmcl_kvp_destroy(f->host);
	ic_fixture_close(&f->ends);
	ic_log_end();
	free(f);
	return 0;
}

static void open_guest(struct fixture *f)
{
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
}

static struct kmcl_ic_statistics statistics_of(struct fixture *f)
{
	struct kmcl_ic_statistics s = { .size = sizeof(s) };

	kmcl_kvp_get_statistics(f->host, &s);
	return s;
}

static int set_text(struct fixture *f, enum kmcl_kvp_pool pool, const char *key, const char *text)
{
	struct kmcl_kvp_value value = { .type = KMCL_KVP_STRING };

	snprintf(value.text, sizeof(value.text), "%s", text);
	return kmcl_kvp_set(f->host, pool, key, &value, LONG_MS);
}

static void assert_text(struct fixture *f, enum kmcl_kvp_pool pool, const char *key,
                        const char *text)
{
	struct kmcl_kvp_value value;

	assert_int_equal(kmcl_kvp_get(f->host, pool, key, &value, LONG_MS), 0);
	assert_int_equal(value.type, KMCL_KVP_STRING);
	assert_string_equal(value.text, text);
}

static void assert_pool(struct fixture *f, enum kmcl_kvp_pool pool, uint32_t count)
{
	struct kmcl_kvp_entry entry;
	uint32_t i;

	for (i = 0; i < count; i++)
		assert_int_equal(kmcl_kvp_enumerate(f->host, pool, i, &entry, LONG_MS), 0);
	assert_int_equal(kmcl_kvp_enumerate(f->host, pool, i, &entry, LONG_MS), -ENODATA);
}

/* ---- a guest as it should be ---- */

/* With each version, and a guest that answers as Linux does or as one should. */
/* covers: kmcl_kvp_get, kmcl_kvp_set, kmcl_kvp_delete */
static void pairs_are_kept_in_all_pools(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_value value;
	uint32_t round, pool;
	char text[64];

	for (round = 0; round < 8; round++) {
		f->ends.guest.versions = all + round / 2;
		f->as_linux = round % 2;
		open_guest(f);
		for (pool = 0; pool < KMCL_KVP_POOLS; pool++) {
			snprintf(text, sizeof(text), "%u of pool %u", round, pool);
			assert_int_equal(set_text(f, pool, "key", text), 0);
			assert_int_equal(set_text(f, pool, "other", "x"), 0);
			assert_text(f, pool, "key", text);
			assert_pool(f, pool, 2);
			assert_int_equal(set_text(f, pool, "key", "changed"), 0);
			assert_text(f, pool, "key", "changed");
			assert_int_equal(kmcl_kvp_delete(f->host, pool, "key", LONG_MS), 0);
			assert_int_equal(kmcl_kvp_get(f->host, pool, "key", &value, LONG_MS),
			                 -ENOENT);
			assert_int_equal(kmcl_kvp_delete(f->host, pool, "key", LONG_MS), -ENOENT);
			assert_pool(f, pool, 1);
		}
		assert_int_equal(statistics_of(f).version, ic_version_number(all[round / 2]));
		ic_guest_close(&f->ends.guest);
		memset(f->counts, 0, sizeof(f->counts));
	}
	assert_int_equal(ic_log_count(""), 0);
}

/* Linux's and FreeBSD's headers: "a NULL key string" for an index that there is not. */
static void a_key_without_letters_ends_a_pool(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_value value;

	f->as_linux = false;
	f->all_is_well = true;
	open_guest(f);
	assert_pool(f, KMCL_KVP_POOL_GUEST, 0);
	assert_int_equal(set_text(f, KMCL_KVP_POOL_GUEST, "key", "text"), 0);
	assert_pool(f, KMCL_KVP_POOL_GUEST, 1);
	assert_text(f, KMCL_KVP_POOL_GUEST, "key", "text");
	assert_int_equal(kmcl_kvp_get(f->host, KMCL_KVP_POOL_GUEST, "none", &value, LONG_MS),
	                 -ENOENT);
	assert_int_equal(ic_log_count(""), 0);
}

static void an_empty_value_is_found_too(void **state)
{
	struct fixture *f = *state;

	open_guest(f);
	assert_int_equal(set_text(f, KMCL_KVP_POOL_EXTERNAL, "empty", ""), 0);
	assert_text(f, KMCL_KVP_POOL_EXTERNAL, "empty", "");
}

static void numbers_are_numbers(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_value value = { .type = KMCL_KVP_U32, .number = 4000000000u }, got;

	open_guest(f);
	f->as_linux = false;
	assert_int_equal(kmcl_kvp_set(f->host, 0, "n", &value, LONG_MS), 0);
	assert_int_equal(kmcl_kvp_get(f->host, 0, "n", &got, LONG_MS), 0);
	assert_int_equal(got.type, KMCL_KVP_U32);
	assert_true(got.number == 4000000000u);
	value.type = KMCL_KVP_U64;
	value.number = 1ull << 40;
	assert_int_equal(kmcl_kvp_set(f->host, 0, "n", &value, LONG_MS), 0);
	assert_int_equal(kmcl_kvp_get(f->host, 0, "n", &got, LONG_MS), 0);
	assert_int_equal(got.type, KMCL_KVP_U64);
	assert_true(got.number == 1ull << 40);
	f->as_linux = true;
	value.type = KMCL_KVP_U32;
	value.number = 17;
	assert_int_equal(kmcl_kvp_set(f->host, 0, "n", &value, LONG_MS), 0);
	assert_text(f, 0, "n", "17");
}

/* What goes over the wire: the reserved bytes, the sizes with their NUL, the whole structure. */
static void requests_look_as_the_guest_expects(void **state)
{
	struct fixture *f = *state;
	struct ic_guest_message g;
	struct ic_kvp m;

	open_guest(f);
	assert_int_equal(set_text(f, KMCL_KVP_POOL_GUEST, "k\xc3\xa9y", "v"), 0);
	ic_guest_last(&f->ends.guest, &g);
	assert_int_equal(g.header.type, IC_KVP);
	assert_int_equal(g.header.message.major, 4);
	assert_int_equal(g.header.size, 2580);
	memcpy(&m, g.body, sizeof(m));
	assert_int_equal(m.operation, 1);
	assert_int_equal(m.pool, 1);
	assert_int_equal(m.value.type, 1);
	assert_int_equal(m.value.key_size, 8);
	assert_int_equal(m.value.value_size, 4);
	assert_int_equal(m.value.key[1], 0xe9);
}

/* covers: kmcl_kvp_enumerate, kmcl_kvp_set */
static void limits_are_those_of_the_wire(void **state)
{
	struct fixture *f = *state;
	char key[257], text[1025];
	struct kmcl_kvp_value value = { .type = KMCL_KVP_STRING };
	struct kmcl_kvp_entry *entry = calloc(1, sizeof(*entry));
	uint32_t before;

	open_guest(f);
	memset(key, 'k', sizeof(key));
	memset(text, 'v', sizeof(text));
	key[255] = text[1023] = '\0';
	assert_int_equal(set_text(f, 0, key, text), 0);
	assert_text(f, 0, key, text);
	/* Characters of three bytes, and of two units. */
	for (before = 0; before < 255; before++)
		memcpy(entry->key + 3 * before, "\xe2\x82\xac", 3);
	for (before = 0; before < 511; before++)
		memcpy(value.text + 4 * before, "\xf0\x9f\x98\x80", 4);
	assert_int_equal(kmcl_kvp_set(f->host, 0, entry->key, &value, LONG_MS), 0);
	assert_text(f, 0, entry->key, value.text);

	before = f->ends.guest.requests;
	key[255] = 'k';
	key[256] = '\0';
	assert_int_equal(set_text(f, 0, key, "v"), -EINVAL);
	assert_int_equal(set_text(f, 0, "", "v"), -EINVAL);
	assert_int_equal(set_text(f, 0, "\xed\xa0\x80", "v"), -EINVAL);
	text[1023] = 'v';
	text[1024] = '\0';
	assert_int_equal(set_text(f, 0, "k", text), -EINVAL);
	assert_int_equal(set_text(f, 0, "k", "\xc0\x80"), -EINVAL);
	value.type = KMCL_KVP_U32;
	value.number = 1ull << 32;
	assert_int_equal(kmcl_kvp_set(f->host, 0, "k", &value, LONG_MS), -EINVAL);
	value.type = (enum kmcl_kvp_type)3;
	assert_int_equal(kmcl_kvp_set(f->host, 0, "k", &value, LONG_MS), -EINVAL);
	assert_int_equal(set_text(f, (enum kmcl_kvp_pool)5, "k", "v"), -EINVAL);
	assert_int_equal(kmcl_kvp_get(f->host, (enum kmcl_kvp_pool)5, "k", &value, LONG_MS),
	                 -EINVAL);
	assert_int_equal(kmcl_kvp_delete(f->host, (enum kmcl_kvp_pool)5, "k", LONG_MS), -EINVAL);
	assert_int_equal(kmcl_kvp_delete(f->host, 0, "", LONG_MS), -EINVAL);
	assert_int_equal(kmcl_kvp_enumerate(f->host, (enum kmcl_kvp_pool)5, 0, entry, LONG_MS),
	                 -EINVAL);
	assert_int_equal(f->ends.guest.requests, before);
	free(entry);
}

static void a_full_guest_says_so(void **state)
{
	struct fixture *f = *state;
	char key[16];
	uint32_t i;

	open_guest(f);
	for (i = 0; i < RECORDS; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		assert_int_equal(set_text(f, 0, key, key), 0);
	}
	assert_int_equal(set_text(f, 0, "one more", "x"), -ENOSPC);
	assert_text(f, 0, "key7", "key7");
}

static void assert_same_ip(const struct kmcl_kvp_ip_info *a, const struct kmcl_kvp_ip_info *b)
{
	assert_int_equal(a->ipv4, b->ipv4);
	assert_int_equal(a->ipv6, b->ipv6);
	assert_int_equal(a->dhcp, b->dhcp);
	assert_string_equal(a->addresses, b->addresses);
	assert_string_equal(a->subnets, b->subnets);
	assert_string_equal(a->gateways, b->gateways);
	assert_string_equal(a->dns, b->dns);
}

/* As strings and, with 5.0, in binary. */
/* covers: kmcl_kvp_get_ip, kmcl_kvp_set_ip */
static void adapters_are_asked_and_told(void **state)
{
	static const struct kmcl_kvp_ip_info first = {
		.ipv4 = true,
		.ipv6 = true,
		.dhcp = true,
		.addresses = "10.0.0.2;10.0.0.3;fe80::1",
		.subnets = "255.255.255.0;255.0.0.0;/64",
		.gateways = "10.0.0.1;fe80::ff",
		.dns = "8.8.8.8",
	};
	static const struct kmcl_kvp_ip_info second = { .ipv4 = true,
		                                        .addresses = "192.168.1.1",
		                                        .subnets = "255.255.0.0" };
	struct fixture *f = *state;
	struct kmcl_kvp_ip_info *info = calloc(1, sizeof(*info));
	uint32_t i;

	for (i = 0; i < 2; i++) {
		f->ends.guest.versions = all + i;
		open_guest(f);
		f->ip = first;
		assert_int_equal(kmcl_kvp_get_ip(f->host, f->adapter, info, LONG_MS), 0);
		assert_same_ip(info, &first);
		assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, &second, LONG_MS), 0);
		assert_same_ip(&f->ip, &second);
		assert_int_equal(kmcl_kvp_get_ip(f->host, "00:00:00:00:00:00", info, LONG_MS),
		                 -ENOENT);
		ic_guest_close(&f->ends.guest);
	}
	free(info);
}

/* covers: kmcl_kvp_set_ip */
static void adapters_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_ip_info *info = calloc(1, sizeof(*info));
	char adapter[129];

	f->ends.guest.versions = all; /* binary */
	open_guest(f);
	memset(adapter, 'a', sizeof(adapter));
	adapter[128] = '\0';
	assert_int_equal(kmcl_kvp_get_ip(f->host, adapter, info, LONG_MS), -EINVAL);
	assert_int_equal(kmcl_kvp_get_ip(f->host, "", info, LONG_MS), -EINVAL);
	strcpy(info->addresses, "10.0.0.2;nonsense");
	assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, info, LONG_MS), -EINVAL);
	strcpy(info->addresses, "10.0.0.2;fe80::1");
	strcpy(info->subnets, "255.0.0.0");
	assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, info, LONG_MS), -EINVAL);
	strcpy(info->subnets, "255.0.0.0;/129");
	assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, info, LONG_MS), -EINVAL);
	strcpy(info->subnets, "255.0.0.0;/128");
	strcpy(info->gateways, "1.1.1.1;1.1.1.2;1.1.1.3;1.1.1.4;1.1.1.5;1.1.1.6");
	assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, info, LONG_MS), -EINVAL);
	assert_int_equal(f->ends.guest.requests, 0);
	info->gateways[39] = '\0'; /* five */
	assert_int_equal(kmcl_kvp_set_ip(f->host, f->adapter, info, LONG_MS), 0);
	ic_guest_close(&f->ends.guest);
	f->ends.guest.versions = all + 2; /* 3.0 */
	WAIT_FOR(statistics_of(f).version == 0);
	open_guest(f);
	assert_int_equal(kmcl_kvp_get_ip(f->host, f->adapter, info, LONG_MS), -ENOTSUP);
	free(info);
}

/* ---- no guest, or one as it should not be ---- */

/* hv_utils does not negotiate before its daemon runs. */
static void without_its_daemon_the_guest_is_not_ready(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_value value;

	assert_int_equal(kmcl_kvp_get(f->host, 0, "k", &value, 10), -ENOTCONN);
	f->ends.guest.mute = true;
	open_guest(f);
	WAIT_FOR(f->ends.guest.negotiations == 1);
	assert_int_equal(kmcl_kvp_get(f->host, 0, "k", &value, 10), -ENOTCONN);
	ic_guest_unmute(&f->ends.guest);
	assert_int_equal(kmcl_kvp_get(f->host, 0, "k", &value, LONG_MS), -ENOENT);
}

/* The answer to a request that was given up is not taken for the next one's. */
/* covers: kmcl_kvp_get_statistics */
static void a_late_answer_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_entry entry;

	open_guest(f);
	assert_int_equal(set_text(f, 0, "a", "1"), 0);
	assert_int_equal(set_text(f, 0, "b", "2"), 0);
	f->ends.guest.mute = true;
	assert_int_equal(kmcl_kvp_enumerate(f->host, 0, 0, &entry, 20), -ETIMEDOUT);
	WAIT_FOR(f->ends.guest.held_count == 1);
	ic_guest_unmute(&f->ends.guest);
	assert_int_equal(kmcl_kvp_enumerate(f->host, 0, 1, &entry, LONG_MS), 0);
	assert_string_equal(entry.key, "b");
	assert_int_equal(statistics_of(f).late, 1);
}

static struct ic_kvp *kvp_of(struct ic_guest_message *m)
{
	return (struct ic_kvp *)m->body;
}

static bool is_entry(struct ic_guest_message *m)
{
	return m->header.type == IC_KVP && kvp_of(m)->operation == IC_KVP_ENUMERATE;
}

#define SPOIL(name, statement)                                               \
	static bool name(struct ic_guest *guest, struct ic_guest_message *m) \
	{                                                                    \
		if (is_entry(m)) {                                           \
			statement;                                           \
		}                                                            \
		return true;                                                 \
	}

SPOIL(key_too_long, kvp_of(m)->enumerate.value.key_size = 514)
SPOIL(key_odd, kvp_of(m)->enumerate.value.key_size = 3)
SPOIL(key_open, memset(kvp_of(m)->enumerate.value.key, 'x', 512);
      kvp_of(m)->enumerate.value.key_size = 512)
SPOIL(key_ill, kvp_of(m)->enumerate.value.key[0] = 0xd800)
SPOIL(value_too_long, kvp_of(m)->enumerate.value.value_size = 0xfffffffe)
SPOIL(value_open, memset(kvp_of(m)->enumerate.value.text, 'x', 2048);
      kvp_of(m)->enumerate.value.value_size = 2048)
SPOIL(value_none, kvp_of(m)->enumerate.value.value_size = 0)
SPOIL(type_unknown, kvp_of(m)->enumerate.value.type = 3)
SPOIL(number_size, kvp_of(m)->enumerate.value.type = KMCL_KVP_U32;
      kvp_of(m)->enumerate.value.value_size = 8)
SPOIL(too_short, m->header.size = 2579)
SPOIL(shorter, m->header.size = m->size = 0)

static void entries_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		bool (*spoil)(struct ic_guest *guest, struct ic_guest_message *m);
		const char *said;
	} ways[] = {
		{ key_too_long, "size of a key: expected 0x200, got 0x202" },
		{ key_odd, "size of a key: expected 0x200, got 0x3" },
		{ key_open, "key, of UTF-16 with a NUL in so many bytes: expected 0x200" },
		{ key_ill, "key, of UTF-16 with a NUL in so many bytes: expected 0x8" },
		{ value_too_long, "size of a value: expected 0x800, got 0xfffffffe" },
		{ value_open, "value, of UTF-16 with a NUL in so many bytes: expected 0x800" },
		{ value_none, "value, of UTF-16 with a NUL in so many bytes: expected 0x0" },
		{ type_unknown, "type of a value, such as: expected 0x1, got 0x3" },
		{ number_size, "size of a number: expected 0x4, got 0x8" },
		{ too_short, "size of the answer to an enumerate: expected 0xa14, got 0xa13" },
		{ shorter, "size of the answer to an enumerate: expected 0xa14, got 0x0" },
	};
	struct fixture *f = *state;
	struct kmcl_kvp_entry entry;
	struct kmcl_kvp_value value;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		f->ends.guest.spoil = ways[i].spoil;
		open_guest(f);
		assert_int_equal(set_text(f, 0, "key", "value"), 0);
		assert_int_equal(kmcl_kvp_enumerate(f->host, 0, 0, &entry, LONG_MS), -EPROTO);
		assert_int_equal(kmcl_kvp_get(f->host, 0, "key", &value, LONG_MS), -EPROTO);
		assert_int_equal(ic_log_count(ways[i].said), 1);
		ic_guest_close(&f->ends.guest);
		WAIT_FOR(statistics_of(f).version == 0);
	}
}

/* A pool without an end is looked through as long as the caller has time. */
static void a_pool_without_end_is_left(void **state)
{
	struct fixture *f = *state;
	struct kmcl_kvp_value value;

	open_guest(f);
	assert_int_equal(set_text(f, KMCL_KVP_POOL_AUTO, "a", "1"), 0);
	f->endless = true;
	assert_int_equal(kmcl_kvp_get(f->host, KMCL_KVP_POOL_AUTO, "none", &value, 100),
	                 -ETIMEDOUT);
	assert_true(f->ends.guest.requests > 10);
	assert_text(f, KMCL_KVP_POOL_AUTO, "a", "1");
}

static bool spoil_ip(struct ic_guest *guest, struct ic_guest_message *m)
{
	struct ic_kvp_ip_text *t = (struct ic_kvp_ip_text *)m->body;

	if (m->header.type == IC_KVP)
		memset(t->dns, 'x', sizeof(t->dns));
	return true;
}

static bool spoil_ip_count(struct ic_guest *guest, struct ic_guest_message *m)
{
	struct ic_kvp_ip_binary *b = (struct ic_kvp_ip_binary *)m->body;

	if (m->header.type == IC_KVP)
		b->gateway_count[1] = 6;
	return true;
}

static bool spoil_ip_size(struct ic_guest *guest, struct ic_guest_message *m)
{
	if (m->header.type == IC_KVP)
		m->header.size = 3715;
	return true;
}

static void adapters_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		uint32_t version;
		bool (*spoil)(struct ic_guest *guest, struct ic_guest_message *m);
		const char *said;
	} ways[] = {
		{ 1, spoil_ip, "list of addresses, of UTF-16 with a NUL in so many units" },
		{ 1, spoil_ip_size, "size of the answer to an IP query: expected 0x1d04" },
		{ 0, spoil_ip_count, "count of addresses, at most: expected 0x5, got 0x6" },
		{ 0, spoil_ip_size, "size of the answer to an IP query: expected 0xe84" },
	};
	struct fixture *f = *state;
	struct kmcl_kvp_ip_info *info = calloc(1, sizeof(*info));
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		f->ends.guest.versions = all + ways[i].version;
		f->ends.guest.spoil = ways[i].spoil;
		open_guest(f);
		assert_int_equal(kmcl_kvp_get_ip(f->host, f->adapter, info, LONG_MS), -EPROTO);
		assert_int_equal(ic_log_count(ways[i].said), 1);
		ic_guest_close(&f->ends.guest);
		WAIT_FOR(statistics_of(f).version == 0);
	}
	free(info);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(pairs_are_kept_in_all_pools),
		TEST(an_empty_value_is_found_too),
		TEST(a_key_without_letters_ends_a_pool),
		TEST(numbers_are_numbers),
		TEST(requests_look_as_the_guest_expects),
		TEST(limits_are_those_of_the_wire),
		TEST(a_full_guest_says_so),
		TEST(adapters_are_asked_and_told),
		TEST(adapters_that_cannot_be_are_refused),
		TEST(without_its_daemon_the_guest_is_not_ready),
		TEST(a_late_answer_is_dropped),
		TEST(entries_that_make_no_sense_are_refused),
		TEST(a_pool_without_end_is_left),
		TEST(adapters_that_make_no_sense_are_refused),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
