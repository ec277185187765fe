/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host may say to an integration component in a guest: arbitrary messages in arbitrary
 * order, between reopenings. An answer is no longer than what came and answers that, nothing is
 * done before versions are agreed on, and only what the guest can, under the address sanitizer:
 * each message's memory is as long as it is.
 *
 * Input: one byte: the component; then steps: one byte of what to do, two of length, and a message.
 */
#include "ic/ic_client.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void check_answer(const uint8_t *asked, const uint8_t *answer, uint32_t size)
{
	struct ic_header from, to;

	memcpy(&from, asked, sizeof(from));
	memcpy(&to, answer, sizeof(to));
	CHECK(to.flags == (IC_TRANSACTION | IC_RESPONSE) && !(from.flags & IC_RESPONSE));
	CHECK(to.transaction == from.transaction && to.type == from.type);
	CHECK(to.status == IC_S_OK || to.status == IC_E_FAIL);
}

static void receive(struct ic_client *c, const uint8_t *bytes, uint32_t size)
{
	uint8_t *message = malloc(size ? size : 1);
	struct ic_client_request r;
	uint64_t ns;

	memcpy(message, bytes, size);
	ic_client_receive(c, message, size, 1234, &r);
	CHECK(r.answer_size <= size);
	if (r.answer_size)
		check_answer(bytes, message, size);
	switch (r.event) {
	case IC_CLIENT_WRONG:
		CHECK(c->fault.what);
		break;
	case IC_CLIENT_AGREED:
		CHECK(c->agreed.major && c->framework.major && r.answer_size >= 36);
		break;
	case IC_CLIENT_REFUSED:
		CHECK(!c->agreed.major && !c->framework.major);
		break;
	case IC_CLIENT_SHUTDOWN:
		CHECK(r.shutdown.action & c->can);
		break;
	case IC_CLIENT_TIME:
		ic_client_unix_time(ic_client_time_at(&r.time, 5678), &ns);
		break;
	default:
		break;
	}
	if (r.event != IC_CLIENT_WRONG && r.event != IC_CLIENT_REFUSED)
		CHECK(c->agreed.major);
	free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ic_client c;

	if (!size)
		return 0;
	ic_client_init(&c, (enum ic_message_type)(data[0] % 5));
	c.can = data[0] >> 5;
	data++;
	size--;
	while (size >= 3) {
		uint32_t length = data[1] | (uint32_t)data[2] << 8;
		uint8_t what = data[0];

		data += 3;
		size -= 3;
		if (length > size)
			length = (uint32_t)size;
		if (what == 0xff)
			ic_client_open(&c);
		else
			receive(&c, data, length);
		data += length;
		size -= length;
	}
	return 0;
}
