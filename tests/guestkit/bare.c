/* SPDX-License-Identifier: BSD-2-Clause */
/* The kit with nothing around it: what it refuses, and what the hypervisor's pages say. */
#include "vmbus_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(64) uint8_t memory[65536];
static struct vg *vg;
static uint32_t posts, connected, offered;
static uint8_t last[240];
static bool busy, calls_back;
static enum vg_status back_status;

static uint64_t page_number(void *context, const void *address)
{
	return (uintptr_t)address / VG_PAGE;
}

static bool post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	struct vg_contact contact = { 0 };

	assert_in_range(size, 8, 240);
	if (busy)
		return false;
	posts++;
	memcpy(last, message, size);
	if (calls_back) {
		assert_int_equal(vg_connect(vg, &contact), VG_REENTERED);
		assert_int_equal(vg_message(vg, message, size), VG_REENTERED);
		assert_int_equal(vg_unload(vg), VG_REENTERED);
		assert_int_equal(vg_poll(vg, 1), 0);
		back_status = VG_REENTERED;
	}
	return true;
}

static void signal_host(void *context, uint32_t connection_id)
{
}

static void on_connected(void *context, uint32_t version)
{
	connected++;
}

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	offered++;
}

static const struct vg_platform good_platform = {
	.page_number = page_number,
	.post = post,
	.signal = signal_host,
};
static const struct vg_events good_events = { .connected = on_connected, .offered = on_offered };

static void expect_init(struct vg_platform platform, struct vg_events events, void *at, size_t size,
                        enum vg_status status)
{
	assert_int_equal(vg_init(&vg, &platform, &events, at, size), status);
	if (status == VG_OK)
		assert_non_null(vg);
	else
		assert_null(vg);
}

/* Which call is missing, it says. */
static void what_is_mandatory_is_looked_for(void **state)
{
	struct vg_platform p = good_platform;
	struct vg_events e = good_events;

	expect_init(p, e, memory, sizeof(memory), VG_OK);
	p.page_number = NULL;
	expect_init(p, e, memory, sizeof(memory), VG_NO_PAGE_NUMBER);
	p = good_platform;
	p.post = NULL;
	expect_init(p, e, memory, sizeof(memory), VG_NO_POST);
	p = good_platform;
	p.signal = NULL;
	expect_init(p, e, memory, sizeof(memory), VG_NO_SIGNAL);
	p = good_platform;
	p.unmap_ring = (void (*)(void *, void *, uint32_t))(uintptr_t)memory;
	expect_init(p, e, memory, sizeof(memory), VG_INVALID);
	p = good_platform;
	e.offered = NULL;
	expect_init(p, e, memory, sizeof(memory), VG_NO_OFFERED);
	expect_init(p, good_events, memory + 8, 32768, VG_INVALID);
	expect_init(p, good_events, memory, VG_MEMORY_LEAST - 1, VG_INVALID);
	expect_init(p, good_events, memory, VG_MEMORY_LEAST, VG_OK);
}

static void the_platform_does_not_call_back(void **state)
{
	struct vg_contact contact = { .message_sint = 2 };

	expect_init(good_platform, good_events, memory, sizeof(memory), VG_OK);
	calls_back = true;
	back_status = VG_OK;
	assert_int_equal(vg_connect(vg, &contact), VG_OK);
	calls_back = false;
	assert_int_equal(back_status, VG_REENTERED);
	assert_int_equal(vg_connect(vg, &contact), VG_STATE);
}

/* A host without room is told later, by polling. */
static void a_busy_host_is_asked_again(void **state)
{
	struct vg_contact contact = { .message_sint = 2 };

	expect_init(good_platform, good_events, memory, sizeof(memory), VG_OK);
	busy = true;
	posts = 0;
	assert_int_equal(vg_connect(vg, &contact), VG_OK);
	for (int i = 0; i < 10; i++)
		vg_poll(vg, 1);
	assert_int_equal(posts, 0);
	busy = false;
	vg_poll(vg, 1);
	assert_int_equal(posts, 1);
	assert_int_equal(last[0], 14); /* INITIATE_CONTACT */
}

/* HV_MESSAGE: type, size, flags, sender, payload. */
static void a_slot_of_the_message_page(void **state)
{
	static _Alignas(16) uint8_t slot[256];
	uint32_t type = 1;
	struct vg_contact contact = { .message_sint = 2 };

	expect_init(good_platform, good_events, memory, sizeof(memory), VG_OK);
	assert_int_equal(vg_connect(vg, &contact), VG_OK);
	assert_false(vg_message_slot(vg, slot));
	/* VERSION_RESPONSE: not supported, until there is no older one */
	connected = 0;
	for (int i = 0; i < 20 && !connected; i++) {
		memset(slot, 0, sizeof(slot));
		slot[4] = 16;
		slot[5] = i % 2;
		slot[16] = 15;
		memcpy(slot, &type, 4);
		assert_int_equal(vg_message_slot(vg, slot), i % 2);
		assert_int_equal(slot[0], 0);
		vg_poll(vg, 1);
	}
	assert_int_equal(connected, 1);
	/* a size past the payload, and a message of the hypervisor's own */
	memset(slot, 0xff, sizeof(slot));
	memcpy(slot, &type, 4);
	assert_true(vg_message_slot(vg, slot));
	type = 0x80000010;
	memcpy(slot, &type, 4);
	vg_message_slot(vg, slot);
	assert_int_equal(slot[3], 0);
}

static void the_event_flags(void **state)
{
	static _Alignas(4) uint8_t flags[256];

	assert_false(vg_event_flags(flags));
	flags[255] = 0x80;
	flags[0] = 2;
	assert_true(vg_event_flags(flags));
	assert_int_equal(flags[255] | flags[0], 0);
	assert_false(vg_event_flags(flags));
}

/* The host's half of a contact by hand, in so much memory. */
static void contact_in(size_t size)
{
	struct vg_contact contact = { .version_max = 4u << 16 | 1, .message_sint = 2 };
	uint8_t message[16] = { 15, [8] = 1 };

	expect_init(good_platform, good_events, memory, size, VG_OK);
	assert_int_equal(vg_connect(vg, &contact), VG_OK);
	assert_int_equal(vg_message(vg, message, sizeof(message)), VG_OK);
	offered = 0;
}

static enum vg_status say_offer(uint32_t id)
{
	uint8_t message[196] = { 1, [24] = (uint8_t)id, [184] = (uint8_t)id, [190] = 1 };

	return vg_message(vg, message, sizeof(message));
}

static void say_rescind(uint32_t id)
{
	uint8_t message[12] = { 2, [8] = (uint8_t)id };

	assert_int_equal(vg_message(vg, message, sizeof(message)), VG_OK);
}

/* OFFER_CHANNEL by hand: six of them fit in the least memory. */
static void six_offers(void **state)
{
	size_t peak;

	contact_in(sizeof(memory));
	for (uint32_t id = 1; id <= 6; id++)
		assert_int_equal(say_offer(id), VG_OK);
	vg_poll(vg, 1);
	vg_memory_used(vg, &peak);
	print_message("# a bus with 6 offers: %zu bytes\n", peak);
	assert_in_range(peak, 1, VG_MEMORY_LEAST);
	vg_host_gone(vg);
	vg_poll(vg, 1);
	assert_in_range(vg_memory_used(vg, NULL), 1, peak - 6 * 200);
}

/* In memory of that size. True: there was an offer for which half of the memory was there. */
static bool offer_until_full(size_t size)
{
	uint32_t id = 1, told;

	contact_in(size);
	while (say_offer(id) == VG_OK)
		id++;
	assert_in_range(id, 2, 250);
	vg_poll(vg, 1);
	told = offered;
	assert_in_range(told, 1, id - 1);
	say_rescind(1);
	vg_poll(vg, 1); /* gives back its memory */
	vg_poll(vg, 1);
	assert_int_equal(offered, id - 1);
	say_rescind(2);
	vg_poll(vg, 1);
	assert_int_equal(say_offer(id), VG_OK);
	vg_poll(vg, 1);
	assert_int_equal(offered, id);
	vg_host_gone(vg);
	vg_poll(vg, 1);
	return told < id - 1;
}

/* What there is no memory for is said at once, or is there as soon as there is some. */
static void more_offers_than_memory(void **state)
{
	uint32_t halves = 0;

	for (size_t size = VG_MEMORY_LEAST; size < VG_MEMORY_LEAST + 1024; size += 32)
		halves += offer_until_full(size);
	assert_in_range(halves, 1, 31);
}

/* Nobody was told of it, and the host has its id again. */
static void an_offer_without_memory_is_taken_back(void **state)
{
	uint32_t id = 1;

	contact_in(VG_MEMORY_LEAST);
	while (say_offer(id) == VG_OK)
		id++;
	vg_poll(vg, 1);
	for (uint32_t i = 1; i < id; i++) {
		say_rescind(i);
		vg_poll(vg, 1);
		assert_int_equal(last[0], 13); /* RELID_RELEASED */
		assert_int_equal(last[8], i);
	}
	vg_host_gone(vg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_mandatory_is_looked_for),
		cmocka_unit_test(the_platform_does_not_call_back),
		cmocka_unit_test(a_busy_host_is_asked_again),
		cmocka_unit_test(a_slot_of_the_message_page),
		cmocka_unit_test(the_event_flags),
		cmocka_unit_test(six_offers),
		cmocka_unit_test(more_offers_than_memory),
		cmocka_unit_test(an_offer_without_memory_is_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
