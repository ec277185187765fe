/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * OpenVMM's VMBus as our guest's end meets it. Sources:
 * vm/devices/vmbus/vmbus_server/src/channels.rs (handle_initiate_contact, send_offer),
 * vmbus_core/src/protocol.rs (FeatureFlags, OfferChannel). It knows each version up to 6.0, answers
 * with the features that it shares, and an offer without a monitor page has the monitor id 255.
 */

#include "echo/echo.h"
#include "hosts.h"
#include "persona.h"

static bool takes(const union wire_message *m, size_t size)
{
	struct wire_message_error error;
	union wire_message copy;

	/* Contact has the size that its features ask for. */
	if (m->header.type == WIRE_INITIATE_CONTACT)
		return size >=
		       wire_initiate_contact_size(m->initiate_contact.version >= WIRE_VERSION_6_0
		                                          ? m->initiate_contact.feature_flags
		                                          : 0);
	error = wire_message_decode(&copy, m->bytes, size, WIRE_FROM_GUEST, WIRE_VERSION_6_0, 0);
	return error.problem == WIRE_MESSAGE_OK;
}

static const struct host_manner openvmm = {
	.version_max = WIRE_VERSION_6_0,
	.features = WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_MODIFY_CONNECTION |
	            WIRE_FEATURE_CLIENT_ID | WIRE_FEATURE_PAUSE_RESUME,
	.names_version = true,
	.no_monitor = WIRE_MONITOR_ID_NONE,
	.takes = takes,
};

static void meet(uint32_t version_max, uint32_t connection)
{
	const struct kmcl_guest_options options = { .size = sizeof(options),
		                                    .version_max = version_max,
		                                    .timeout_ms = PERSONA_WAIT_MS };
	const char *uri = persona_uri();
	struct host *host = host_open(uri, &openvmm);
	struct host_heard heard;
	PDEVICE_OBJECT bus;
	struct echo *echo;

	assert_non_null(host);
	assert_int_equal(kmcl_guest_open_ex(uri, &options, &bus), STATUS_SUCCESS);
	assert_int_equal(echo_open(bus, NULL, PERSONA_WAIT_MS, &echo), STATUS_SUCCESS);
	host_heard(host, &heard);
	assert_int_equal(heard.version, version_max);
	assert_int_equal(heard.connection, connection);
	echo_close(echo);
	kmcl_guest_close(bus);
	host_heard(host, &heard);
	assert_int_equal(heard.untaken, 0);
	host_close(host);
}

static void each_version_is_met_on_its_connection(void **state)
{
	for (uint32_t i = 0; i < WIRE_VERSION_COUNT; i++)
		meet(wire_versions[i], wire_versions[i] >= WIRE_VERSION_5_0
		                               ? WIRE_CONNECTION_MULTICLIENT
		                               : WIRE_CONNECTION_MESSAGE);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_version_is_met_on_its_connection),
};

PERSONA_MAIN(tests)
