/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest may say to an integration component: arbitrary messages in arbitrary order, between
 * requests and reopenings. An answer is passed on only if it was owed and is inside the message;
 * what the key-value component makes of its body are strings with an end.
 *
 * Input: one byte: the component; then steps: one byte of what to do, two of length, and a message.
 */
#include "ic/ic_session.h"
#include "ic/kvp_message.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 4, 0 }, { 5, 0 } };

static void check_string(const char *text, size_t capacity)
{
	CHECK(memchr(text, 0, capacity));
}

static void check_value(const struct kmcl_kvp_value *value)
{
	union kvp_message again;

	check_string(value->text, sizeof(value->text));
	memset(&again, 0, sizeof(again));
	CHECK(kvp_message_value(&again, value)); /* what was taken apart can be said */
}

static void check_ip(const union kvp_message *m, uint32_t size, uint32_t version)
{
	struct kmcl_kvp_ip_info info;
	struct kvp_fault fault = { 0 };
	union kvp_message again;

	if (!kvp_answer_ip(m, size, version, &info, &fault)) {
		CHECK(fault.what);
		return;
	}
	check_string(info.addresses, sizeof(info.addresses));
	check_string(info.subnets, sizeof(info.subnets));
	check_string(info.gateways, sizeof(info.gateways));
	check_string(info.dns, sizeof(info.dns));
	/* Somebody may tell another guest the same; in binary, only what are addresses. */
	memset(&again, 0, sizeof(again));
	CHECK(kvp_message_ip(&again, IC_VERSION(4, 0), &info) || version >= IC_VERSION(5, 0));
	memset(&again, 0, sizeof(again));
	kvp_message_ip(&again, IC_VERSION(5, 0), &info);
}

/* As kvp.c: a copy of the answer over the request. */
static void check_kvp(const struct ic_session *s, const struct ic_answer *a)
{
	union kvp_message *m = calloc(1, sizeof(*m));
	uint32_t size = a->size < sizeof(*m) ? a->size : sizeof(*m);
	struct kmcl_kvp_entry entry;
	struct kmcl_kvp_value value;
	struct kvp_fault fault = { 0 };

	CHECK(m);
	memcpy(m, a->body, size);
	if (kvp_answer_value(m, size, &value, &fault))
		check_value(&value);
	else
		CHECK(fault.what);
	if (kvp_answer_entry(m, size, &entry, &fault)) {
		check_string(entry.key, sizeof(entry.key));
		check_value(&entry.value);
	}
	check_ip(m, size, ic_version_number(s->agreed));
	free(m);
}

static void receive(struct ic_session *s, const uint8_t *data, uint32_t size)
{
	struct ic_session before = *s;
	uint8_t *message =
		malloc(size ? size : 1); /* of its size, so that a read past it is seen */
	struct ic_answer a;
	enum ic_event event;

	CHECK(message);
	memcpy(message, data, size);
	event = ic_session_receive(s, message, size, &a);
	if (event == IC_EVENT_WRONG) {
		CHECK(a.what && s->state == before.state && s->owed_count == before.owed_count);
	} else {
		CHECK(before.owed[a.transaction] && !s->owed[a.transaction]);
		CHECK(s->owed_count == before.owed_count - 1);
		CHECK(a.body + a.size <= message + size);
	}
	if (event == IC_EVENT_READY)
		CHECK(ic_version_number(s->agreed) && ic_version_number(s->framework));
	if (event == IC_EVENT_REFUSED)
		CHECK(a.what && s->state == IC_REFUSED);
	if (event == IC_EVENT_ANSWER) {
		CHECK(before.state == IC_READY);
		check_kvp(s, &a);
	}
	free(message);
}

static void request(struct ic_session *s)
{
	struct ic_session before = *s;
	struct ic_header header;

	if (s->state != IC_READY)
		return;
	if (ic_session_request(s, 40, &header)) {
		CHECK(before.owed_count < IC_OWED_MAX && !before.owed[header.transaction]);
		CHECK(s->owed[header.transaction]);
	} else {
		CHECK(before.owed_count == IC_OWED_MAX);
	}
}

static void step(struct ic_session *s, uint8_t what, const uint8_t *data, uint32_t size)
{
	uint8_t message[IC_NEGOTIATION_MAX];

	switch (what % 8) {
	case 0:
		ic_session_end(s);
		break;
	case 1:
		CHECK(ic_session_begin(s, message) <= sizeof(message));
		break;
	case 2:
	case 3:
		request(s);
		break;
	default:
		receive(s, data, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ic_session s = { .versions = versions, .version_count = 4 };
	uint8_t message[IC_NEGOTIATION_MAX];

	if (!size)
		return 0;
	s.type = 1 + data[0] % 4;
	data++;
	size--;
	ic_session_begin(&s, message);
	while (size >= 3) {
		uint32_t n = data[1] | (uint32_t)data[2] << 8;

		n = n < size - 3 ? n : (uint32_t)size - 3;
		step(&s, data[0], data + 3, n);
		data += 3 + n;
		size -= 3 + n;
	}
	return 0;
}
