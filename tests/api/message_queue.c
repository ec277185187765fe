/* SPDX-License-Identifier: BSD-2-Clause */

/* Messages for an end that reads nothing: order is kept, and there is a limit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kmcl/messages.h"

#include <errno.h>

static struct account account;
static bool busy;
static uint32_t posted;

static int post(struct partition *p, struct partition_address to, const void *payload, size_t size)
{
	if (busy)
		return -EAGAIN;
	assert_int_equal(to.id, 7);
	assert_int_equal(size, sizeof(posted));
	assert_memory_equal(payload, &posted, sizeof(posted));
	posted++;
	return 0;
}

static const struct partition_ops ops = { .post = post };
static struct partition partition = { .ops = &ops };

static int send_number(struct messages *m, uint32_t number)
{
	return messages_post(m, &partition, (struct partition_address){ .id = 7 }, &number,
	                     sizeof(number));
}

/* As many as it takes until no more are kept. */
static uint32_t fill(struct messages *m)
{
	uint32_t kept = 0;

	busy = true;
	while (send_number(m, kept) == 0)
		kept++;
	assert_int_equal(send_number(m, kept), -ENOBUFS);
	busy = false;
	return kept;
}

static void there_is_a_limit(void **state)
{
	struct messages m;
	uint32_t kept;

	messages_init(&m, &account);
	kept = fill(&m);
	assert_in_range(kept, account_max[ACCOUNT_MESSAGES] / 256,
	                account_max[ACCOUNT_MESSAGES] / sizeof(posted));
	messages_flush(&m, &partition);
	assert_int_equal(posted, kept);
	assert_int_equal(send_number(&m, posted), 0);
	assert_int_equal(fill(&m), kept);
	messages_drop(&m);
	assert_int_equal(fill(&m), kept);
	messages_drop(&m);
	assert_int_equal(account.held[ACCOUNT_MESSAGES], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_is_a_limit),
	};

	return cmocka_run_group_tests_name("message_queue", tests, NULL, NULL);
}
