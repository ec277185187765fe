/* SPDX-License-Identifier: BSD-2-Clause */

/* Messages arrive whole, once, in order; a full queue says so and later says when to go on. */

#include "end.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static struct end host, guest;

static int post_number(struct end *from, uint32_t id, uint32_t number, size_t size)
{
	uint8_t payload[PARTITION_MESSAGE_MAX] = { 0 };

	memcpy(payload, &number, sizeof(number));
	payload[size - 1] |= 0x80;
	return partition_post(from->partition, (struct partition_address){ .id = id }, payload,
	                      size);
}

static void expect_number(const struct end *end, unsigned int index, uint32_t number, size_t size)
{
	const struct end_message *m = &end->message[index];
	uint32_t got;

	assert_int_equal(m->size, size);
	memcpy(&got, m->payload, sizeof(got));
	if (size > sizeof(got))
		assert_int_equal(m->payload[size - 1], 0x80);
	assert_int_equal(got, number);
}

/* Posts; when refused waits for `writable` and goes on. How often it was refused. */
static unsigned int post_patiently(struct end *from, uint32_t number)
{
	unsigned int refused = 0;

	for (;;) {
		unsigned int before = end_read(from, &from->writable);
		int error = post_number(from, 4, number, 24);

		if (!error)
			return refused;
		assert_int_equal(error, -EAGAIN);
		refused++;
		end_await(from, &from->writable, before + 1);
	}
}

static void test_both_ways_in_order(void **state)
{
	end_open_both(&host, &guest, 4);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(post_number(&guest, 1, i, 8 + i), 0);
		assert_int_equal(post_number(&host, 0, 1000 + i, 8 + i), 0);
	}
	end_await(&host, &host.messages, 50);
	end_await(&guest, &guest.messages, 50);
	for (uint32_t i = 0; i < 50; i++) {
		expect_number(&host, i, i, 8 + i);
		assert_int_equal(host.message[i].id, 1);
		expect_number(&guest, i, 1000 + i, 8 + i);
	}
	end_close_both(&host, &guest);
}

static void test_sizes(void **state)
{
	uint8_t payload[PARTITION_MESSAGE_MAX + 1] = { 0 };
	struct partition_address to = { .id = 1 };

	end_open_both(&host, &guest, 0);
	assert_int_equal(partition_post(guest.partition, to, payload, 0), 0);
	assert_int_equal(partition_post(guest.partition, to, payload, 240), 0);
	assert_int_equal(partition_post(guest.partition, to, payload, 241), -EMSGSIZE);
	assert_int_equal(partition_post(guest.partition, to, payload, 1), 0);
	end_await(&host, &host.messages, 3);
	assert_int_equal(host.message[0].size, 0);
	assert_int_equal(host.message[1].size, 240);
	assert_int_equal(host.message[2].size, 1);
	end_close_both(&host, &guest);
}

/* Posts until refused for good, to a receiver that is in the upcall of the first: who passes
 * messages on to it may make room for some more at first. How many were taken. */
static uint32_t fill(struct end *from, struct end *to)
{
	uint32_t sent = 1, refused = 0;

	end_set_stuck(to, true);
	assert_int_equal(post_number(from, 4, 0, 24), 0);
	end_await(to, &to->messages, 1);
	while (sent < END_MESSAGES_MAX && refused < 50) {
		if (post_number(from, 4, sent, 24) == 0) {
			sent++;
			refused = 0;
		} else {
			refused++;
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		}
	}
	return sent;
}

static void fill_while_receiver_is_stuck(struct end *from, struct end *to)
{
	uint32_t sent, writable;

	end_open_both(&host, &guest, 0);
	sent = fill(from, to);
	writable = end_read(from, &from->writable);
	/* Bounded, and more than one burst of GPADL bodies. */
	assert_in_range(sent, 64, 2048);
	assert_int_equal(post_number(from, 4, sent, 24), -EAGAIN);
	assert_int_equal(end_read(from, &from->writable), writable);
	end_set_stuck(to, false);
	end_await(from, &from->writable, writable + 1);
	assert_int_equal(post_number(from, 4, sent, 24), 0);
	end_await(to, &to->messages, sent + 1);
	for (uint32_t i = 0; i <= sent; i++)
		expect_number(to, i, i, 24);
	end_close_both(&host, &guest);
}

static void test_guest_is_told_busy_then_writable(void **state)
{
	fill_while_receiver_is_stuck(&guest, &host);
}

static void test_host_is_told_busy_then_writable(void **state)
{
	fill_while_receiver_is_stuck(&host, &guest);
}

static void test_long_stream_loses_nothing(void **state)
{
	unsigned int refused = 0;

	end_open_both(&host, &guest, 0);
	for (uint32_t i = 0; i < 4000; i++)
		refused += post_patiently(&guest, i);
	end_await(&host, &host.messages, 4000);
	for (uint32_t i = 0; i < 4000; i++)
		expect_number(&host, i, i, 24);
	print_message("# refused %u times\n", refused);
	end_close_both(&host, &guest);
}

/* A guest that does not read gets no more done until it does. */
static void test_host_hears_nothing_while_refused(void **state)
{
	const struct timespec a_while = { .tv_nsec = 50 * 1000 * 1000 };

	end_open_both(&host, &guest, 0);
	fill(&host, &guest);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(post_number(&guest, 1, i, 24), 0);
	nanosleep(&a_while, NULL);
	assert_int_equal(end_read(&host, &host.messages), 0);
	end_set_stuck(&guest, false);
	end_await(&host, &host.messages, 10);
	assert_int_equal(end_read(&host, &host.writable), 1);
	end_close_both(&host, &guest);
}

static void answer(struct end *end, const struct end_message *message)
{
	must(partition_post(end->partition, (struct partition_address){ 0 }, message->payload,
	                    message->size) == 0);
}

static void test_answer_from_the_upcall(void **state)
{
	end_open_both(&host, &guest, 0);
	end_set_hooks(&host, answer, NULL);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(post_number(&guest, 1, i, 16), 0);
	end_await(&guest, &guest.messages, 20);
	for (uint32_t i = 0; i < 20; i++)
		expect_number(&guest, i, i, 16);
	end_close_both(&host, &guest);
}

static void test_nobody_there(void **state)
{
	end_open(&host, PARTITION_HOST, end_new_uri(), 0);
	assert_int_equal(post_number(&host, 0, 0, 8), -ENOTCONN);
	end_close(&host);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_both_ways_in_order),
	cmocka_unit_test(test_sizes),
	cmocka_unit_test(test_guest_is_told_busy_then_writable),
	cmocka_unit_test(test_host_is_told_busy_then_writable),
	cmocka_unit_test(test_long_stream_loses_nothing),
	cmocka_unit_test(test_host_hears_nothing_while_refused),
	cmocka_unit_test(test_answer_from_the_upcall),
	cmocka_unit_test(test_nobody_there),
};

END_MAIN(tests)
