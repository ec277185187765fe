/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * QEMU's VMBus as our guest's end meets it. Source: hw/hyperv/vmbus.c (handle_initiate_contact,
 * handle_gpadl_header, handle_open_channel, send_handshake, post_msg) and
 * include/hw/hyperv/vmbus-proto.h. It listens on connection 1 alone, so that contact at 5.0 and
 * above fails at the hypercall; that is client_contact_refused() in tests/bus.
 */

#include "echo/echo.h"
#include "hosts.h"
#include "persona.h"

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

static PDEVICE_OBJECT connect(const char *uri)
{
	const struct kmcl_guest_options options = { .size = sizeof(options),
		                                    .version_max = WIRE_VERSION_4_0,
		                                    .timeout_ms = PERSONA_WAIT_MS };
	PDEVICE_OBJECT bus = NULL;

	assert_int_equal(kmcl_guest_open_ex(uri, &options, &bus), STATUS_SUCCESS);
	return bus;
}

static void a_channel_opens_and_closes(void **state)
{
	const char *uri = persona_uri();
	struct host *host = host_open(uri, &qemu);
	struct host_heard heard;
	PDEVICE_OBJECT bus;
	struct echo *echo;

	assert_non_null(host);
	bus = connect(uri);
	assert_int_equal(echo_open(bus, NULL, PERSONA_WAIT_MS, &echo), STATUS_SUCCESS);
	host_heard(host, &heard);
	assert_int_equal(heard.version, WIRE_VERSION_4_0);
	assert_int_equal(heard.connection, WIRE_CONNECTION_MESSAGE);
	echo_close(echo);
	kmcl_guest_close(bus);
	host_heard(host, &heard);
	assert_int_equal(heard.untaken, 0);
	assert_int_equal(heard.types[heard.count - 1], WIRE_UNLOAD);
	host_close(host);
}

/* send_open_channel says 1 for any failure, which as an NTSTATUS is a success. */
static void a_channel_that_does_not_open_is_no_channel(void **state)
{
	const char *uri = persona_uri();
	struct host_manner manner = qemu;
	struct echo *echo = NULL;
	struct host *host;
	PDEVICE_OBJECT bus;

	manner.open_status = 1;
	host = host_open(uri, &manner);
	assert_non_null(host);
	bus = connect(uri);
	assert_false(NT_SUCCESS(echo_open(bus, NULL, 5000, &echo)));
	kmcl_guest_close(bus);
	host_close(host);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_channel_opens_and_closes),
	cmocka_unit_test(a_channel_that_does_not_open_is_no_channel),
};

PERSONA_MAIN(tests)
