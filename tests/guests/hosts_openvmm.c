/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * OpenVMM's VMBus as our guests' ends meet it. Sources:
 * vm/devices/vmbus/vmbus_server/src/channels.rs (handle_initiate_contact, send_offer),
 * vmbus_core/src/protocol.rs (FeatureFlags, OfferChannel). It knows each version up to 6.0, answers
 * with the features that it shares, and an offer without a monitor page has the monitor id 255.
 */

#include "ends.h"
#include "hosts.h"

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

static void meet(const struct end_ops *ops, uint32_t version_max, uint32_t connection)
{
	const char *uri = persona_uri();
	struct host *host = host_open(uri, &openvmm);
	struct host_heard heard;
	struct end *end;

	assert_non_null(host);
	end = ops->connect(uri, version_max);
	assert_non_null(end);
	assert_true(ops->open(end));
	if (version_max >= WIRE_VERSION_2_4) /* before, signals take another way */
		assert_true(ops->echo(end));
	host_heard(host, &heard);
	assert_int_equal(heard.version, version_max);
	assert_int_equal(heard.connection, connection);
	ops->close(end);
	ops->disconnect(end);
	host_heard(host, &heard);
	assert_int_equal(heard.untaken, 0);
	host_close(host);
}

/* The kit opens no channel of versions whose signals come by the interrupt page. */
static void each_version_is_met_on_its_connection(void **state)
{
	for (uint32_t i = 0; i < WIRE_VERSION_COUNT; i++)
		for (uint32_t n = 0; n < ENDS_COUNT; n++)
			if (ends[n] == &end_kmcl || wire_versions[i] >= WIRE_VERSION_2_4)
				meet(ends[n], wire_versions[i],
				     wire_versions[i] >= WIRE_VERSION_5_0
				             ? WIRE_CONNECTION_MULTICLIENT
				             : WIRE_CONNECTION_MESSAGE);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_version_is_met_on_its_connection),
};

PERSONA_MAIN(tests)
