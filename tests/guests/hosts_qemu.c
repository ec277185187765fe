/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * QEMU's VMBus as our guests' ends meet it. Source: hw/hyperv/vmbus.c (handle_initiate_contact,
 * handle_gpadl_header, handle_open_channel, send_handshake, post_msg) and
 * include/hw/hyperv/vmbus-proto.h. It listens on connection 1 alone, so that contact at 5.0 and
 * above fails at the hypercall; that is client_contact_refused() in tests/bus.
 */

#include "ends.h"
#include "hosts.h"

#define QEMU_PADDING 8u /* VMBUS_MESSAGE_SIZE_ALIGN */

/* What it does not take it drops, and nothing is answered: a guest would hang. */
static bool takes(const union wire_message *m, size_t size)
{
	struct wire_gpa_range range;
	uint32_t pages;

	switch (m->header.type) {
	case WIRE_INITIATE_CONTACT:
		return size >= WIRE_INITIATE_CONTACT_SIZE_SHORT;
	case WIRE_GPADL_HEADER:
		/* One range, of whole pages from the beginning of one on. */
		if (size < sizeof(m->gpadl_header) + sizeof(range) ||
		    m->gpadl_header.range_count != 1)
			return false;
		memcpy(&range, m->bytes + sizeof(m->gpadl_header), sizeof(range));
		pages = (uint32_t)((m->gpadl_header.range_bytes - sizeof(range)) / 8);
		return !range.byte_offset && range.byte_count == pages * WIRE_PAGE_SIZE;
	case WIRE_OPEN_CHANNEL:
		return size >= WIRE_OPEN_CHANNEL_SIZE_SHORT;
	case WIRE_GPADL_BODY:
	case WIRE_GPADL_TEARDOWN:
	case WIRE_CLOSE_CHANNEL:
	case WIRE_REQUEST_OFFERS:
	case WIRE_UNLOAD:
		return true;
	default:
		return false; /* "unknown message type" */
	}
}

static const struct host_manner qemu = {
	.version_max = WIRE_VERSION_4_0,
	.padding = QEMU_PADDING,
	.takes = takes,
};

static void opens_and_closes(const struct end_ops *ops)
{
	const char *uri = persona_uri();
	struct host *host = host_open(uri, &qemu);
	struct host_heard heard;
	struct end *end;

	assert_non_null(host);
	end = ops->connect(uri, WIRE_VERSION_4_0);
	assert_non_null(end);
	assert_true(ops->open(end));
	assert_true(ops->echo(end));
	host_heard(host, &heard);
	assert_int_equal(heard.version, WIRE_VERSION_4_0);
	assert_int_equal(heard.connection, WIRE_CONNECTION_MESSAGE);
	ops->close(end);
	ops->disconnect(end);
	host_heard(host, &heard);
	assert_int_equal(heard.untaken, 0);
	assert_int_equal(heard.types[heard.count - 1], WIRE_UNLOAD);
	host_close(host);
}

static void a_channel_opens_and_closes(void **state)
{
	for (uint32_t i = 0; i < ENDS_COUNT; i++)
		opens_and_closes(ends[i]);
}

/* send_open_channel says 1 for any failure, which as an NTSTATUS is a success. */
static void does_not_open(const struct end_ops *ops)
{
	const char *uri = persona_uri();
	struct host_manner manner = qemu;
	struct host *host;
	struct end *end;

	manner.open_status = 1;
	host = host_open(uri, &manner);
	assert_non_null(host);
	end = ops->connect(uri, WIRE_VERSION_4_0);
	assert_non_null(end);
	assert_false(ops->open(end));
	ops->disconnect(end);
	host_close(host);
}

static void a_channel_that_does_not_open_is_no_channel(void **state)
{
	for (uint32_t i = 0; i < ENDS_COUNT; i++)
		does_not_open(ends[i]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_channel_opens_and_closes),
	cmocka_unit_test(a_channel_that_does_not_open_is_no_channel),
};

PERSONA_MAIN(tests)
