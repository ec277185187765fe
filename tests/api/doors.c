/* SPDX-License-Identifier: BSD-2-Clause */

/* From the NT door to plain C and back: the ends of a bus, identifiers, and what went wrong. */

#include "pair.h"

#include <errno.h>

/* covers: kmcl_host_handle, kmcl_host_of_handle, kmcl_guest_device, kmcl_guest_of_device */
static void an_end_has_two_doors(void **state)
{
	struct pair *pair = pair_create();
	struct kmcl_host *host = kmcl_host_of_handle(pair->vmbus);
	struct kmcl_guest *guest = kmcl_guest_of_device(pair->bus);
	struct kmcl_bus_info info = { .size = sizeof(info) };
	struct kmcl_bus_channel channel = { .size = sizeof(channel) };
	uint32_t count;

	assert_int_equal(kmcl_host_query(host, &info), 0);
	assert_int_equal(info.version, KMCL_BUS_VERSION_LATEST);
	info.version = 0;
	assert_int_equal(kmcl_guest_query(guest, &info), 0);
	assert_int_equal(info.version, KMCL_BUS_VERSION_LATEST);
	assert_ptr_equal(kmcl_host_handle(host), pair->vmbus);
	assert_ptr_equal(kmcl_guest_device(guest), pair->bus);

	/* what one door sets up is seen at the other */
	pair_open(pair);
	assert_int_equal(kmcl_host_list(host, &channel, 1, &count), 0);
	assert_int_equal(count, 1);
	assert_memory_equal(&channel.instance, &pair_instance, sizeof(GUID));
	assert_int_equal(channel.state, KMCL_CHANNEL_ACTIVE);
	assert_int_equal(channel.statistics.opens, 1);
	assert_true(channel.ring_in_bytes > 0);
	assert_string_equal(channel.name, "test server");
	pair_destroy(pair);
}

/* covers: kmcl_guid_to_nt, kmcl_guid_of_nt */
static void identifiers_go_there_and_back(void **state)
{
	struct kmcl_guid plain, back;
	GUID nt;

	assert_int_equal(kmcl_guid_parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f", &plain), 0);
	nt = kmcl_guid_to_nt(plain);
	assert_int_equal(nt.Data1, 0xba6163d9);
	assert_int_equal(nt.Data2, 0x04a1);
	assert_int_equal(nt.Data3, 0x4d29);
	assert_memory_equal(nt.Data4, "\xb6\x05\x72\xe2\xff\xb1\xdc\x7f", 8);
	back = kmcl_guid_of_nt(nt);
	assert_memory_equal(&back, &plain, sizeof(plain));
}

/* covers: kmcl_errno */
static void each_status_has_an_errno(void **state)
{
	static const struct {
		NTSTATUS status;
		int error;
	} known[] = {
		{ STATUS_SUCCESS, 0 },
		{ STATUS_PENDING, 0 },
		{ STATUS_INVALID_PARAMETER, -EINVAL },
		{ STATUS_INVALID_PARAMETER_1, -EINVAL },
		{ STATUS_INVALID_PARAMETER_12, -EINVAL },
		{ STATUS_SHARING_VIOLATION, -EADDRINUSE },
		{ STATUS_CONNECTION_REFUSED, -ECONNREFUSED },
		{ STATUS_IO_TIMEOUT, -ETIMEDOUT },
		{ STATUS_OBJECT_NAME_NOT_FOUND, -ENOENT },
		{ STATUS_OBJECT_PATH_NOT_FOUND, -ENOTDIR },
		{ STATUS_OBJECT_NAME_COLLISION, -EEXIST },
		{ STATUS_INSUFFICIENT_RESOURCES, -ENOMEM },
		{ STATUS_INVALID_DEVICE_STATE, -EBUSY },
		{ STATUS_UNSUCCESSFUL, -EIO }, /* none says it */
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(kmcl_errno(known[i].status), known[i].error);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_has_two_doors),
		cmocka_unit_test(identifiers_go_there_and_back),
		cmocka_unit_test(each_status_has_an_errno),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("doors", tests, NULL, NULL);
}
