/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Sizes and offsets of the channel protocol's messages against the numbers the public definitions
 * come to: mu_msvm MsvmPkg/VmbusDxe/ChannelMessages.h and Linux include/linux/hyperv.h (both
 * packed), OpenVMM vmbus_core/src/protocol.rs (MESSAGE_SIZE).
 */

#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define AT(type, field, offset)                                        \
	{                                                              \
#type "." #field, offsetof(struct type, field), offset \
	}
#define OF(type, size)                           \
	{                                        \
#type, sizeof(struct type), size \
	}

static void offsets_are_the_documented_ones(void **state)
{
	static const struct {
		const char *name;
		size_t actual, expected;
	} rows[] = {
		AT(wire_message_header, type, 0),
		AT(wire_message_header, padding, 4),
		OF(wire_message_header, 8),
		AT(wire_offer_channel, interface_type, 8),
		AT(wire_offer_channel, interface_instance, 24),
		AT(wire_offer_channel, reserved, 40),
		AT(wire_offer_channel, flags, 56),
		AT(wire_offer_channel, mmio_megabytes, 58),
		AT(wire_offer_channel, user_defined, 60),
		AT(wire_offer_channel, subchannel_index, 180),
		AT(wire_offer_channel, mmio_megabytes_optional, 182),
		AT(wire_offer_channel, channel_id, 184),
		AT(wire_offer_channel, monitor_id, 188),
		AT(wire_offer_channel, monitor_allocated, 189),
		AT(wire_offer_channel, dedicated_interrupt, 190),
		AT(wire_offer_channel, connection_id, 192),
		OF(wire_offer_channel, 196),
		AT(wire_channel_message, channel_id, 8),
		OF(wire_channel_message, 12),
		AT(wire_open_channel, channel_id, 8),
		AT(wire_open_channel, open_id, 12),
		AT(wire_open_channel, ring_gpadl, 16),
		AT(wire_open_channel, target_vp, 20),
		AT(wire_open_channel, ring_offset, 24),
		AT(wire_open_channel, user_data, 28),
		AT(wire_open_channel, connection_id, 148),
		AT(wire_open_channel, event_flag, 152),
		AT(wire_open_channel, flags, 154),
		OF(wire_open_channel, 156),
		AT(wire_open_channel_result, channel_id, 8),
		AT(wire_open_channel_result, open_id, 12),
		AT(wire_open_channel_result, status, 16),
		OF(wire_open_channel_result, 20),
		AT(wire_gpadl_header, channel_id, 8),
		AT(wire_gpadl_header, gpadl, 12),
		AT(wire_gpadl_header, range_bytes, 16),
		AT(wire_gpadl_header, range_count, 18),
		OF(wire_gpadl_header, 20),
		AT(wire_gpadl_body, message_number, 8),
		AT(wire_gpadl_body, gpadl, 12),
		OF(wire_gpadl_body, 16),
		AT(wire_gpadl_created, channel_id, 8),
		AT(wire_gpadl_created, gpadl, 12),
		AT(wire_gpadl_created, status, 16),
		OF(wire_gpadl_created, 20),
		AT(wire_gpadl_teardown, channel_id, 8),
		AT(wire_gpadl_teardown, gpadl, 12),
		OF(wire_gpadl_teardown, 16),
		AT(wire_gpadl_torndown, gpadl, 8),
		OF(wire_gpadl_torndown, 12),
		AT(wire_initiate_contact, version, 8),
		AT(wire_initiate_contact, target_vp, 12),
		AT(wire_initiate_contact, interrupt_page, 16),
		AT(wire_initiate_contact, target_sint, 16),
		AT(wire_initiate_contact, target_vtl, 17),
		AT(wire_initiate_contact, feature_flags, 20),
		AT(wire_initiate_contact, monitor_page_to_guest, 24),
		AT(wire_initiate_contact, monitor_page_to_host, 32),
		AT(wire_initiate_contact, client_id, 40),
		OF(wire_initiate_contact, 56),
		AT(wire_version_response, version_supported, 8),
		AT(wire_version_response, connection_state, 9),
		AT(wire_version_response, selected_version, 12),
		AT(wire_version_response, message_connection_id, 12),
		AT(wire_version_response, feature_flags, 16),
		AT(wire_version_response, monitor_page_to_guest, 24),
		AT(wire_version_response, monitor_page_to_host, 32),
		OF(wire_version_response, 40),
		AT(wire_open_reserved_channel, channel_id, 8),
		AT(wire_open_reserved_channel, target_vp, 12),
		AT(wire_open_reserved_channel, target_sint, 16),
		AT(wire_open_reserved_channel, ring_gpadl, 20),
		AT(wire_open_reserved_channel, ring_offset, 24),
		OF(wire_open_reserved_channel, 28),
		AT(wire_close_reserved_channel, channel_id, 8),
		AT(wire_close_reserved_channel, target_vp, 12),
		AT(wire_close_reserved_channel, target_sint, 16),
		OF(wire_close_reserved_channel, 20),
		AT(wire_tl_connect_request, endpoint_id, 8),
		AT(wire_tl_connect_request, service_id, 24),
		AT(wire_tl_connect_request, silo_id, 40),
		OF(wire_tl_connect_request, 56),
		AT(wire_tl_connect_result, endpoint_id, 8),
		AT(wire_tl_connect_result, service_id, 24),
		AT(wire_tl_connect_result, status, 40),
		OF(wire_tl_connect_result, 44),
		AT(wire_modify_channel, channel_id, 8),
		AT(wire_modify_channel, target_vp, 12),
		OF(wire_modify_channel, 16),
		AT(wire_modify_channel_response, channel_id, 8),
		AT(wire_modify_channel_response, status, 12),
		OF(wire_modify_channel_response, 16),
		AT(wire_modify_connection, monitor_page_to_guest, 8),
		AT(wire_modify_connection, monitor_page_to_host, 16),
		OF(wire_modify_connection, 24),
		AT(wire_modify_connection_response, connection_state, 8),
		OF(wire_modify_connection_response, 9),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].actual != rows[i].expected)
			print_error("%s\n", rows[i].name);
		assert_int_equal(rows[i].actual, rows[i].expected);
	}
}

static void sizes_by_version(void **state)
{
	(void)state;
	assert_int_equal(wire_offer_channel_size(WIRE_VERSION_0_13), 190);
	assert_int_equal(wire_offer_channel_size(WIRE_VERSION_1_1), 196);
	assert_int_equal(wire_offer_channel_size(WIRE_VERSION_6_0), 196);
	assert_int_equal(wire_open_channel_size(0), 148);
	assert_int_equal(wire_open_channel_size(WIRE_FEATURE_SIGNAL_PARAMETERS), 156);
	assert_int_equal(wire_open_channel_size(WIRE_FEATURE_INTERRUPT_REDIRECTION), 156);
	assert_int_equal(wire_open_channel_size(WIRE_FEATURE_CLIENT_ID), 148);
	assert_int_equal(wire_initiate_contact_size(0), 40);
	assert_int_equal(wire_initiate_contact_size(WIRE_FEATURE_CLIENT_ID), 56);
	assert_int_equal(wire_version_response_size(WIRE_VERSION_5_3), 16);
	assert_int_equal(wire_version_response_size(WIRE_VERSION_6_0), 20);
	assert_int_equal(wire_tl_connect_request_size(WIRE_VERSION_5_1), 40);
	assert_int_equal(wire_tl_connect_request_size(WIRE_VERSION_5_2), 56);
	assert_int_equal(wire_offer_flags(WIRE_VERSION_3_0), 0x11);
	assert_int_equal(wire_offer_flags(WIRE_VERSION_4_0), 0x2011);
}

/* Linux VERSION_*, mu_msvm VMBUS_VERSION_*: major in the high half. */
static void versions_in_order(void **state)
{
	static const uint32_t expected[] = {
		0x60000, 0x50003, 0x50002, 0x50001, 0x50000, 0x40001,
		0x40000, 0x30000, 0x20004, 0x10001, 0x0000d,
	};

	(void)state;
	assert_int_equal(WIRE_VERSION_COUNT, 11);
	assert_memory_equal(wire_versions, expected, sizeof(expected));
	assert_int_equal(wire_version_below(0xffffffff), WIRE_VERSION_6_0);
	for (unsigned int i = 0; i + 1 < WIRE_VERSION_COUNT; i++)
		assert_int_equal(wire_version_below(expected[i]), expected[i + 1]);
	assert_int_equal(wire_version_below(WIRE_VERSION_0_13), 0);
	assert_true(wire_version_known(WIRE_VERSION_2_4));
	assert_false(wire_version_known(WIRE_VERSION(2, 3)));
	assert_false(wire_version_known(0));
}

static void every_type_and_problem_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(wire_message_name(0), "unknown");
	assert_string_equal(wire_message_name(WIRE_MESSAGE_TYPES), "unknown");
	for (uint32_t i = 1; i < WIRE_MESSAGE_TYPES; i++) {
		assert_non_null(wire_message_name(i));
		assert_string_not_equal(wire_message_name(i), "unknown");
		for (uint32_t j = 1; j < i; j++)
			assert_string_not_equal(wire_message_name(i), wire_message_name(j));
	}
	for (int i = WIRE_MESSAGE_OK; i <= WIRE_MESSAGE_NOT_IN_FEATURES; i++)
		assert_string_not_equal(wire_message_problem((enum wire_message_problem)i),
		                        "unknown problem");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_are_the_documented_ones),
		cmocka_unit_test(sizes_by_version),
		cmocka_unit_test(versions_in_order),
		cmocka_unit_test(every_type_and_problem_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
