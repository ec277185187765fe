/* SPDX-License-Identifier: BSD-2-Clause */

/* Each end learns that the other came and went; nothing of one guest reaches the next. */

#include "../sanitized.h"
#include "end.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct end host, guest, third;

static int post_byte(struct end *from, uint8_t byte)
{
	return partition_post(from->partition, (struct partition_address){ .id = 1 }, &byte, 1);
}

static void test_guest_comes_and_goes(void **state)
{
	const char *uri = end_new_uri();

	end_open(&host, PARTITION_HOST, uri, 0);
	for (unsigned int i = 1; i <= 20; i++) {
		end_open(&guest, PARTITION_GUEST, uri, 1);
		end_await(&guest, &guest.came, 1);
		end_await(&host, &host.came, i);
		assert_int_equal(end_read(&host, &host.gone), i - 1);
		end_close(&guest);
		end_free_ram(&guest);
		end_await(&host, &host.gone, i);
		assert_int_equal(guest.gone, 0); /* it left itself */
	}
	end_close(&host);
	assert_int_equal(host.came, 20);
	assert_int_equal(host.gone, 20);
}

static void test_host_goes_and_another_comes(void **state)
{
	char uri[128];

	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, 1);
	end_close(&host);
	end_await(&guest, &guest.gone, 1);
	assert_int_equal(post_byte(&guest, 1), -ENOTCONN);
	end_open(&third, PARTITION_HOST, uri, 0);
	end_await(&guest, &guest.came, 2);
	end_await(&third, &third.came, 1);
	assert_int_equal(post_byte(&guest, 2), 0);
	end_await(&third, &third.messages, 1);
	end_close(&third);
	end_close(&guest);
	end_free_ram(&guest);
}

/* What was posted before the end closed still arrives, then GONE. */
static void test_last_words_arrive(void **state)
{
	for (int round = 0; round < ROUNDS(20); round++) {
		end_open_both(&host, &guest, 0);
		for (uint8_t i = 0; i < 10; i++) {
			assert_int_equal(post_byte(&host, i),
			                 0); /* which the guest may never read */
			assert_int_equal(post_byte(&guest, i), 0);
		}
		end_close(&guest);
		end_await(&host, &host.gone, 1);
		assert_int_equal(host.messages, 10);
		end_close(&host);
	}
}

static int answered[2];
static unsigned int answers;

/* Answers late: its guest has gone and another came in the meantime. */
static void answer_late(struct end *end, const struct end_message *message)
{
	must(answers < 2);
	answered[answers++] = post_byte(end, 0xee);
}

static void test_answer_does_not_reach_the_next_guest(void **state)
{
	const char *uri = end_new_uri();

	end_open(&host, PARTITION_HOST, uri, 0);
	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, 1);
	answers = 0;
	end_set_hooks(&host, answer_late, NULL);
	end_set_stuck(&host, true);
	assert_int_equal(post_byte(&guest, 1), 0);
	end_await(&host, &host.messages, 1);
	end_close(&guest);
	if (!strcmp(end_scheme, "local")) {
		/* The next one is there before the host has heard of anything. */
		end_open(&guest, PARTITION_GUEST, uri, 0);
		end_await(&guest, &guest.came, 1);
		assert_int_equal(post_byte(&guest, 2), 0);
		end_set_stuck(&host, false);
		end_await(&host, &host.messages, 2);
	} else {
		end_set_stuck(&host, false);
		end_await(&host, &host.gone, 1);
		end_open(&guest, PARTITION_GUEST, uri, 0);
		end_await(&guest, &guest.came, 1);
		assert_int_equal(post_byte(&guest, 2), 0);
		end_await(&host, &host.messages, 2);
	}
	end_await(&guest, &guest.messages, 1);
	end_close(&host);
	assert_int_equal(host.gone, 1);
	assert_int_equal(host.came, 2);
	end_close(&guest);
	assert_int_equal(answers, 2);
	assert_int_equal(answered[0], -ENOTCONN);
	assert_int_equal(answered[1], 0); /* to the second guest */
	assert_int_equal(guest.messages, 1);
}

static void test_no_upcall_after_close(void **state)
{
	for (int round = 0; round < ROUNDS(50); round++) {
		unsigned int heard;

		end_open_both(&host, &guest, 0);
		for (uint8_t i = 0; i < 60; i++)
			assert_int_equal(post_byte(&guest, i), 0);
		end_close(&host);
		heard = host.messages;
		assert_false(host.in_upcall);
		end_close(&guest);
		assert_int_equal(host.messages, heard);
	}
}

static void test_each_end_once(void **state)
{
	char uri[128];

	strcpy(uri, end_new_uri());
	end_open(&host, PARTITION_HOST, uri, 0);
	assert_int_equal(end_try_open(&third, PARTITION_HOST, uri, 0), -EADDRINUSE);
	assert_true(strlen(third.why) > 10);
	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&guest, &guest.came, 1);
	assert_int_equal(end_try_open(&third, PARTITION_GUEST, uri, 0), -EADDRINUSE);
	assert_true(strlen(third.why) > 10);
	/* The first is none the worse. */
	assert_int_equal(post_byte(&guest, 1), 0);
	end_await(&host, &host.messages, 1);
	end_close_both(&host, &guest);
	assert_int_equal(host.came, 1);
}

static void test_guest_needs_a_host(void **state)
{
	int error = end_try_open(&guest, PARTITION_GUEST, end_new_uri(), 1);

	assert_true(error == -ENOENT || error == -ECONNREFUSED);
	assert_true(strlen(guest.why) > 10);
}

static void test_uris(void **state)
{
	assert_int_equal(end_try_open(&host, PARTITION_HOST, "local", 0), -EINVAL);
	assert_int_equal(end_try_open(&host, PARTITION_HOST, "local:", 0), -EINVAL);
	assert_int_equal(end_try_open(&host, PARTITION_HOST, "localhost:x", 0), -EINVAL);
	assert_int_equal(end_try_open(&host, PARTITION_HOST, "", 0), -EINVAL);
	assert_int_equal(end_try_open(&host, PARTITION_HOST, "pipe:x", 0), -EINVAL);
	assert_non_null(strstr(host.why, "local:NAME"));
}

static void test_names_are_apart(void **state)
{
	static struct end host2, guest2;

	end_open_both(&host, &guest, 0);
	end_open_both(&host2, &guest2, 0);
	assert_string_not_equal(partition_uri(host.partition), partition_uri(host2.partition));
	assert_string_equal(partition_uri(host.partition), partition_uri(guest.partition));
	assert_int_equal(post_byte(&guest2, 9), 0);
	end_await(&host2, &host2.messages, 1);
	assert_int_equal(end_read(&host, &host.messages), 0);
	end_close_both(&host2, &guest2);
	end_close_both(&host, &guest);
}

static void test_other_process(void **state)
{
	const char *uri = end_new_uri();

	end_open(&host, PARTITION_HOST, uri, 0);
	assert_int_equal(partition_other_process(host.partition), 0);
	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&host, &host.came, 1);
	end_await(&guest, &guest.came, 1);
	assert_int_equal(partition_other_process(host.partition), getpid());
	assert_int_equal(partition_other_process(guest.partition), getpid());
	end_close(&guest);
	end_await(&host, &host.gone, 1);
	assert_int_equal(partition_other_process(host.partition), 0);
	end_close(&host);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_guest_comes_and_goes),
	cmocka_unit_test(test_host_goes_and_another_comes),
	cmocka_unit_test(test_last_words_arrive),
	cmocka_unit_test(test_answer_does_not_reach_the_next_guest),
	cmocka_unit_test(test_no_upcall_after_close),
	cmocka_unit_test(test_each_end_once),
	cmocka_unit_test(test_guest_needs_a_host),
	cmocka_unit_test(test_uris),
	cmocka_unit_test(test_names_are_apart),
	cmocka_unit_test(test_other_process),
};

END_MAIN(tests)
