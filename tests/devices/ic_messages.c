/* SPDX-License-Identifier: BSD-2-Clause */
/* The negotiation and the checks of answers, and strings of the wire, without a bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ic/ic_session.h"
#include "ic/utf16.h"

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 3, 1 } };

static struct ic_session begun(void)
{
	struct ic_session s = { .type = IC_SHUTDOWN, .versions = versions, .version_count = 3 };
	uint8_t message[IC_NEGOTIATION_MAX];

	ic_session_begin(&s, message);
	return s;
}

struct choice {
	struct ic_header header;
	struct ic_negotiation counts;
	struct ic_version chosen[2];
};

static struct choice choice(struct ic_version framework, struct ic_version version)
{
	struct choice c = { .counts = { 1, 1, 0 }, .chosen = { framework, version } };

	c.header.type = IC_NEGOTIATE;
	c.header.size = 16;
	c.header.flags = IC_TRANSACTION | IC_RESPONSE;
	return c;
}

static enum ic_event receive(struct ic_session *s, const void *message, uint32_t size,
                             struct ic_answer *a)
{
	return ic_session_receive(s, message, size, a);
}

static struct ic_session agreed(void)
{
	struct ic_session s = begun();
	struct choice c = choice((struct ic_version){ 3, 0 }, (struct ic_version){ 3, 1 });
	struct ic_answer a;

	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_READY);
	return s;
}

/* Against OpenVMM hyperv_ic common.rs, negotiate(), and what Linux 2.6.37 looks at. */
static void the_negotiation_lists_all_versions_oldest_first(void **state)
{
	static const uint8_t expected[] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 3, 0, 0, /* header */
		2, 0, 3, 0, 0, 0, 0, 0,                                      /* counts */
		1, 0, 0, 0, 3, 0, 0, 0,                                      /* frameworks */
		1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 1,  0,                         /* messages */
	};
	struct ic_session s = { .type = IC_SHUTDOWN, .versions = versions, .version_count = 3 };
	uint8_t message[IC_NEGOTIATION_MAX];

	assert_int_equal(ic_session_begin(&s, message), sizeof(expected));
	assert_memory_equal(message, expected, sizeof(expected));
	assert_int_equal(s.state, IC_NEGOTIATING);
}

static void each_offered_version_can_be_chosen(void **state)
{
	struct ic_answer a;
	uint16_t i, j;

	for (i = 0; i < 2; i++) {
		for (j = 0; j < 3; j++) {
			struct ic_session s = begun();
			struct choice c = choice(versions[i], versions[j]);
			struct ic_header header;

			assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_READY);
			assert_true(ic_session_request(&s, 100, &header));
			assert_int_equal(ic_version_number(header.framework),
			                 ic_version_number(versions[i]));
			assert_int_equal(ic_version_number(header.message),
			                 ic_version_number(versions[j]));
			assert_int_equal(header.type, IC_SHUTDOWN);
			assert_int_equal(header.size, 100);
			assert_int_equal(header.flags, IC_TRANSACTION | IC_REQUEST);
		}
	}
}

static void other_choices_are_refused(void **state)
{
	static const struct {
		uint16_t framework_count, message_count;
		struct ic_version framework, version;
		uint16_t size;
	} ways[] = {
		{ 0, 0, { 3, 0 }, { 3, 1 }, 16 }, /* Linux's "none" */
		{ 2, 1, { 3, 0 }, { 3, 1 }, 16 }, { 1, 2, { 3, 0 }, { 3, 1 }, 16 },
		{ 1, 1, { 2, 0 }, { 3, 1 }, 16 }, { 1, 1, { 3, 0 }, { 3, 2 }, 16 },
		{ 1, 1, { 0, 0 }, { 0, 0 }, 16 }, { 1, 1, { 3, 0 }, { 3, 1 }, 15 },
		{ 1, 1, { 3, 0 }, { 3, 1 }, 0 },
	};
	struct ic_answer a;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct ic_session s = begun();
		struct choice c = choice(ways[i].framework, ways[i].version);

		c.counts.framework_count = ways[i].framework_count;
		c.counts.message_count = ways[i].message_count;
		c.header.size = ways[i].size;
		assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_REFUSED);
		assert_non_null(a.what);
		assert_int_equal(s.state, IC_REFUSED);
		/* It has had its chance. */
		c = choice(versions[1], versions[1]);
		assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_WRONG);
		assert_int_equal(s.state, IC_REFUSED);
	}
}

static void only_the_choice_is_taken_while_negotiating(void **state)
{
	struct ic_session s = begun();
	struct ic_header header = { .type = IC_SHUTDOWN, .flags = IC_TRANSACTION | IC_RESPONSE };
	struct choice c = choice(versions[1], versions[1]);
	struct ic_answer a;

	assert_int_equal(receive(&s, &header, sizeof(header), &a), IC_EVENT_WRONG);
	c.header.transaction = 1;
	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_WRONG);
	c.header.transaction = 0;
	c.header.flags = IC_RESPONSE;
	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_WRONG);
	c.header.flags = IC_TRANSACTION | IC_RESPONSE;
	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_READY);
	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_WRONG); /* twice */
	assert_int_equal(s.state, IC_READY);
}

/* OpenBSD sys/dev/pv/hypervic.c: 28 bytes too many. */
static void a_size_that_says_more_than_came_is_what_came(void **state)
{
	struct ic_session s = begun();
	struct choice c = choice(versions[1], versions[1]);
	struct ic_header m;
	struct ic_answer a;

	c.header.size = 44;
	assert_int_equal(receive(&s, &c, sizeof(c), &a), IC_EVENT_READY);
	assert_true(ic_session_request(&s, 8, &m));
	m.flags = IC_TRANSACTION | IC_RESPONSE;
	assert_int_equal(receive(&s, &m, sizeof(m), &a), IC_EVENT_ANSWER);
	assert_int_equal(a.size, 0);
	/* Too little came for a choice, whatever the size says. */
	s = begun();
	assert_int_equal(receive(&s, &c, sizeof(c) - 1, &a), IC_EVENT_REFUSED);
}

static void an_answer_belongs_to_one_request(void **state)
{
	struct ic_session s = agreed();
	struct {
		struct ic_header header;
		uint8_t body[8];
	} m = { 0 };
	struct ic_header first, second;
	struct ic_answer a;

	assert_true(ic_session_request(&s, 8, &first));
	assert_true(ic_session_request(&s, 8, &second));
	assert_int_not_equal(first.transaction, second.transaction);
	m.header = second;
	m.header.flags = IC_TRANSACTION | IC_RESPONSE;
	m.header.status = 0x80004005;
	m.header.size = 5; /* what is after that does not count */
	m.body[4] = 0x42;
	assert_int_equal(receive(&s, &m, sizeof(m), &a), IC_EVENT_ANSWER);
	assert_int_equal(a.transaction, second.transaction);
	assert_int_equal(a.status, 0x80004005);
	assert_int_equal(a.size, 5);
	assert_int_equal(a.body[4], 0x42);
	assert_int_equal(receive(&s, &m, sizeof(m), &a), IC_EVENT_WRONG);
	m.header.transaction = first.transaction;
	assert_int_equal(receive(&s, &m, sizeof(m), &a), IC_EVENT_ANSWER);
	assert_int_equal(s.owed_count, 0);
}

/* An id is free again when its answer has come, and not before, however often they wrap. */
static void ids_are_not_used_again_while_an_answer_is_owed(void **state)
{
	struct ic_session s = agreed();
	struct ic_header header, owed;
	struct ic_answer a;
	uint32_t i;

	assert_true(ic_session_request(&s, 0, &owed));
	for (i = 0; i < 1000; i++) {
		assert_true(ic_session_request(&s, 0, &header));
		assert_int_not_equal(header.transaction, owed.transaction);
		header.flags = IC_TRANSACTION | IC_RESPONSE;
		assert_int_equal(receive(&s, &header, sizeof(header), &a), IC_EVENT_ANSWER);
	}
	for (i = 1; i < IC_OWED_MAX; i++)
		assert_true(ic_session_request(&s, 0, &header));
	assert_false(ic_session_request(&s, 0, &header));
	owed.flags = IC_TRANSACTION | IC_RESPONSE;
	assert_int_equal(receive(&s, &owed, sizeof(owed), &a), IC_EVENT_ANSWER);
	assert_true(ic_session_request(&s, 0, &header));
}

static void an_end_forgets_everything(void **state)
{
	struct ic_session s = agreed();
	uint8_t message[IC_NEGOTIATION_MAX];
	struct ic_header header;
	struct ic_answer a;

	assert_true(ic_session_request(&s, 0, &header));
	ic_session_end(&s);
	header.flags = IC_TRANSACTION | IC_RESPONSE;
	assert_int_equal(receive(&s, &header, sizeof(header), &a), IC_EVENT_WRONG);
	ic_session_begin(&s, message);
	assert_int_equal(receive(&s, &header, sizeof(header), &a), IC_EVENT_WRONG);
	assert_int_equal(s.owed_count, 1);
	memcpy(&header, message, sizeof(header));
	assert_int_equal(ic_version_number(header.framework), 0);
}

/* ---- strings ---- */

static void strings_go_there_and_back(void **state)
{
	static const char *const texts[] = {
		"",
		"a",
		"\x7f",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80.",
	};
	uint16_t units[64];
	char back[128];
	uint32_t n;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		n = utf16_from_utf8(texts[i], units, 64);
		assert_true(n > 0);
		assert_int_equal(units[n - 1], 0);
		/* It takes exactly that, on both sides. */
		assert_int_equal(utf16_from_utf8(texts[i], units, n), n);
		assert_int_equal(utf16_from_utf8(texts[i], units, n - 1), 0);
		assert_true(utf16_to_utf8(units, n, back, strlen(texts[i]) + 1));
		assert_string_equal(back, texts[i]);
		assert_false(utf16_to_utf8(units, n, back, strlen(texts[i])));
		assert_false(utf16_to_utf8(units, n - 1, back, sizeof(back)));
	}
	n = utf16_from_utf8("\xf0\x9f\x98\x80", units, 64);
	assert_int_equal(n, 3);
	assert_int_equal(units[0], 0xd83d);
	assert_int_equal(units[1], 0xde00);
}

static void ill_formed_utf8_is_refused(void **state)
{
	static const char *const texts[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xe0\x9f\xbf",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xff",
		"ok\xe2(\xa1",
	};
	uint16_t units[64];
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(utf16_from_utf8(texts[i], units, 64), 0);
}

static void ill_formed_utf16_is_refused(void **state)
{
	static const uint16_t texts[][3] = {
		{ 0xd800, 0, 0 },      { 0xdc00, 0, 0 },     { 0xdbff, 'a', 0 }, { 'a', 0xdfff, 0 },
		{ 0xd800, 0xd800, 0 }, { 'a', 'b', 0xd800 }, { 'a', 'b', 'c' },
	};
	char text[64];
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(utf16_to_utf8(texts[i], 3, text, sizeof(text)));
	assert_false(utf16_to_utf8(texts[0], 0, text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_negotiation_lists_all_versions_oldest_first),
		cmocka_unit_test(each_offered_version_can_be_chosen),
		cmocka_unit_test(other_choices_are_refused),
		cmocka_unit_test(only_the_choice_is_taken_while_negotiating),
		cmocka_unit_test(a_size_that_says_more_than_came_is_what_came),
		cmocka_unit_test(an_answer_belongs_to_one_request),
		cmocka_unit_test(ids_are_not_used_again_while_an_answer_is_owed),
		cmocka_unit_test(an_end_forgets_everything),
		cmocka_unit_test(strings_go_there_and_back),
		cmocka_unit_test(ill_formed_utf8_is_refused),
		cmocka_unit_test(ill_formed_utf16_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
