/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

struct said {
	unsigned times;
	int level;
	char channel[32];
	char text[2048];
	bool talks;
};

static void keep(int level, const char *channel, const char *text, void *context)
{
	struct said *said = context;

	said->times++;
	said->level = level;
	snprintf(said->channel, sizeof(said->channel), "%s", channel ? channel : "");
	snprintf(said->text, sizeof(said->text), "%s", text);
	if (said->talks)
		nt_log(NT_LOG_ERROR, NULL, "from the callback");
}

static void a_callback_gets_what_is_loud_enough(void **state)
{
	struct said said = { 0 };

	nt_log_set(keep, &said, NT_LOG_INFO);
	assert_true(nt_log_enabled(NT_LOG_INFO));
	assert_false(nt_log_enabled(NT_LOG_TRACE));
	nt_log(NT_LOG_INFO, "disk", "%d blocks", 7);
	assert_int_equal(said.times, 1);
	assert_int_equal(said.level, NT_LOG_INFO);
	assert_string_equal(said.channel, "disk");
	assert_string_equal(said.text, "7 blocks");
	nt_log(NT_LOG_TRACE, "disk", "not this");
	assert_int_equal(said.times, 1);
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
	assert_false(nt_log_enabled(NT_LOG_INFO));
}

static void a_line_that_is_too_long_is_cut(void **state)
{
	struct said said = { 0 };

	nt_log_set(keep, &said, NT_LOG_ERROR);
	nt_log(NT_LOG_ERROR, NULL, "%5000d", 1);
	assert_in_range(strlen(said.text), 500, 2047);
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
}

/* Text from outside: C0, C1 alone and as UTF-8, also overlong, delete; what names are made of
 * stays. */
static void control_characters_do_not_pass(void **state)
{
	struct said said = { 0 };

	nt_log_set(keep, &said, NT_LOG_ERROR);
	nt_log(NT_LOG_ERROR, NULL,
	       "a\x1b[2J\nb\x9b"
	       "0m\xc2\x9b"
	       "1m\xe0\x82\x9b"
	       "2m\x7f");
	assert_string_equal(said.text, "a?[2J?b?0m??1m???2m?");
	nt_log(NT_LOG_ERROR, NULL, "%s",
	       "B\xc3\xbc"
	       "cher \xe2\x82\xac \xf0\x9f\x92\xbe \xc3");
	assert_string_equal(said.text, "B\xc3\xbc"
	                               "cher \xe2\x82\xac \xf0\x9f\x92\xbe ?");
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
}

static void talk_in_the_callback(void)
{
	struct said said = { .talks = true };

	nt_log_set(keep, &said, NT_LOG_ERROR);
	nt_log(NT_LOG_ERROR, NULL, "first");
	abort();
}

static void a_callback_that_logs_does_not_lock_up(void **state)
{
	expect_death(talk_in_the_callback, "kmcl: error: from the callback");
}

static void *talk(void *argument)
{
	for (unsigned i = 0; i < 1000; i++)
		nt_log(NT_LOG_ERROR, NULL, "x");
	return NULL;
}

static void it_is_called_one_at_a_time(void **state)
{
	struct said said = { 0 };
	pthread_t a, b;

	nt_log_set(keep, &said, NT_LOG_ERROR);
	a = start(talk, NULL);
	b = start(talk, NULL);
	finish(a);
	finish(b);
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
	assert_int_equal(said.times, 2000);
}

static void others_have_accounts(void **state)
{
	struct nt_log_account one = { 0 }, other = { 0 };
	struct said said = { 0 };

	nt_log_set(keep, &said, NT_LOG_WARNING);
	for (unsigned i = 0; i < 100000; i++)
		nt_log_limited(&one, NT_LOG_VISITORS, NT_LOG_WARNING, "bus", "visitor %u", i);
	assert_int_equal(said.times, NT_LOG_LINES);
	/* what the operator must know, another kind, and another guest are as ever */
	nt_log_limited(&one, NT_LOG_OPERATOR, NT_LOG_ERROR, "bus", "out of %s", "descriptors");
	assert_int_equal(said.times, NT_LOG_LINES + 1);
	assert_string_equal(said.text, "out of descriptors");
	nt_log_limited(&one, NT_LOG_PACKETS, NT_LOG_ERROR, "disk", "packet");
	nt_log_limited(&other, NT_LOG_VISITORS, NT_LOG_WARNING, "bus", "visitor");
	assert_int_equal(said.times, NT_LOG_LINES + 3);
	/* what is not shown anyway uses nothing up */
	for (unsigned i = 0; i < 100; i++)
		nt_log_limited(&other, NT_LOG_VISITORS, NT_LOG_INFO, "bus", "visitor");
	nt_log_limited(&other, NT_LOG_VISITORS, NT_LOG_WARNING, "bus", "again");
	assert_string_equal(said.text, "again");
	/* later it is said how many there were */
	one.kinds[NT_LOG_VISITORS].since -= NT_LOG_WINDOW_NS;
	said.times = 0;
	nt_log_limited(&one, NT_LOG_VISITORS, NT_LOG_WARNING, "bus", "late");
	assert_int_equal(said.times, 2);
	assert_string_equal(said.text, "late");
	nt_log_set(NULL, NULL, NT_LOG_WARNING);
}

static void fail_an_assertion(void)
{
	NT_FRE_ASSERT(1 == 2);
}

static void bug_check(void)
{
	KeBugCheckEx(0xDEADDEAD, 1, 2, 3, 4);
}

static void stops_say_why(void **state)
{
	expect_death(fail_an_assertion, "assertion failed: 1 == 2");
	expect_death(bug_check, "0xDEADDEAD (0x1, 0x2, 0x3, 0x4)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_callback_gets_what_is_loud_enough),
		cmocka_unit_test(a_line_that_is_too_long_is_cut),
		cmocka_unit_test(control_characters_do_not_pass),
		cmocka_unit_test(a_callback_that_logs_does_not_lock_up),
		cmocka_unit_test(it_is_called_one_at_a_time),
		cmocka_unit_test(others_have_accounts),
		cmocka_unit_test(stops_say_why),
	};

	return RUN(tests);
}
