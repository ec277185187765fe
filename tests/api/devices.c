/* SPDX-License-Identifier: BSD-2-Clause */

/* A client's parent is the driver's own device object, as drivers have one: which bus is that? */

#include "pair.h"

static DRIVER_OBJECT driver;

static PDEVICE_OBJECT new_device(void)
{
	PDEVICE_OBJECT device;

	assert_int_equal(IoCreateDevice(&driver, 1, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device),
	                 STATUS_SUCCESS);
	return device;
}

/* A client under `device` finds the pair's server, and no other, and talks to it. */
static void expect_on_bus(struct pair *pair, PDEVICE_OBJECT device)
{
	PDEVICE_OBJECT bus = pair->bus;
	uint32_t packets = pair->server.packets;
	uint64_t word = 5;

	pair_remove(&pair->client);
	memset(pair->client.trace, 0, sizeof(pair->client.trace));
	pair->bus = device;
	pair_add_client(pair, &pair->client, &pair_instance);
	pair->bus = bus;
	assert_int_equal(VmbChannelEnable(pair->client.channel), STATUS_SUCCESS);
	pair_wait(pair_traced(&pair->client, "OSP"));
	assert_int_equal(VmbChannelSendSynchronousRequest(
				 pair->client.channel, &word, sizeof(word), NULL,
				 VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION, NULL, NULL, NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(pair->server.packets, packets + 1);
	pair_remove(&pair->client);
}

static struct pair *serving_pair(void)
{
	struct pair *pair = pair_create();

	assert_int_equal(VmbChannelEnable(pair->server.channel), STATUS_SUCCESS);
	VmbChannelStart(pair->server.channel);
	return pair;
}

/* covers: VmbChannelAllocate, IoAttachDeviceToDeviceStack */
static void a_device_is_on_the_only_bus(void **state)
{
	struct pair *pair = serving_pair();
	PDEVICE_OBJECT alone = new_device(), above = new_device(), top = new_device();

	expect_on_bus(pair, pair->bus);
	expect_on_bus(pair, alone);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(above, pair->bus), pair->bus);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(top, pair->bus), above);
	expect_on_bus(pair, above);
	expect_on_bus(pair, top);
	IoDetachDevice(above);
	IoDetachDevice(pair->bus);
	IoDeleteDevice(top);
	IoDeleteDevice(above);
	IoDeleteDevice(alone);
	pair_destroy(pair);
}

/* covers: VmbChannelAllocate */
static void of_several_buses_it_is_the_one_below(void **state)
{
	struct pair *one = serving_pair(), *two = serving_pair();
	PDEVICE_OBJECT alone = new_device(), above_one = new_device(), above_two = new_device();
	PDEVICE_OBJECT top = new_device();
	VMBCHANNEL channel = (VMBCHANNEL)one;

	assert_int_equal(VmbChannelAllocate(alone, FALSE, &channel),
	                 STATUS_AMBIGUOUS_SYSTEM_DEVICE);
	assert_null(channel);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(above_one, one->bus), one->bus);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(above_two, two->bus), two->bus);
	assert_ptr_equal(IoAttachDeviceToDeviceStack(top, above_two), above_two);
	expect_on_bus(one, above_one);
	expect_on_bus(two, above_two);
	expect_on_bus(two, top);
	/* a server's is not looked at */
	assert_int_equal(VmbChannelAllocate(alone, TRUE, &channel), STATUS_SUCCESS);
	VmbChannelCleanup(channel);
	/* what is taken off is on none of them */
	IoDetachDevice(two->bus);
	assert_int_equal(VmbChannelAllocate(above_two, FALSE, &channel),
	                 STATUS_AMBIGUOUS_SYSTEM_DEVICE);
	IoDeleteDevice(top);
	IoDeleteDevice(above_two);
	IoDeleteDevice(above_one); /* off the stack, too */
	assert_null(one->bus->AttachedDevice);
	pair_destroy(two);
	expect_on_bus(one, alone);
	IoDeleteDevice(alone);
	pair_destroy(one);
}

/* covers: VmbChannelAllocate */
static void without_a_bus_there_is_none(void **state)
{
	PDEVICE_OBJECT alone = new_device();
	DEVICE_OBJECT no_device = { 0 };
	VMBCHANNEL channel;

	assert_int_equal(VmbChannelAllocate(alone, FALSE, &channel), STATUS_NO_SUCH_DEVICE);
	assert_int_equal(VmbChannelAllocate(&no_device, FALSE, &channel),
	                 STATUS_INVALID_PARAMETER_1);
	assert_int_equal(VmbChannelAllocate(NULL, FALSE, &channel), STATUS_INVALID_PARAMETER_1);
	IoDeleteDevice(alone);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_is_on_the_only_bus),
		cmocka_unit_test(of_several_buses_it_is_the_one_below),
		cmocka_unit_test(without_a_bus_there_is_none),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
