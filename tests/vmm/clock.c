/* SPDX-License-Identifier: BSD-2-Clause */

/* The clock of `kmcl boot`, read as the kernels named here do it. */

#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define SECONDS 0x00
#define MINUTES 0x02
#define HOURS   0x04
#define DAY     0x07
#define MONTH   0x08
#define YEAR    0x09
#define A       0x0a
#define B       0x0b
#define D       0x0d
#define UIP     0x80
#define BINARY  0x04

/* Each read takes that long, as in an emulated machine. */
struct reader {
	struct clock clock;
	int64_t now_ms;
	int64_t step_ms;
};

static uint8_t read_register(struct reader *r, uint8_t index)
{
	clock_select(&r->clock, index);
	r->now_ms += r->step_ms;
	return clock_read(&r->clock, r->now_ms / 1000);
}

static int number(struct reader *r, uint8_t index)
{
	uint8_t bcd = read_register(r, index);

	assert_false(read_register(r, B) & BINARY);
	return (bcd >> 4) * 10 + (bcd & 0xf);
}

static time_t read_rest(struct reader *r)
{
	struct tm tm = { .tm_sec = number(r, SECONDS) };

	tm.tm_min = number(r, MINUTES);
	tm.tm_hour = number(r, HOURS);
	tm.tm_mday = number(r, DAY);
	tm.tm_mon = number(r, MONTH) - 1;
	tm.tm_year = 100 + number(r, YEAR);
	return timegm(&tm);
}

/* Linux up to 5.15, arch/x86/kernel/rtc.c: once it is not updating. */
static time_t read_as_old_linux(struct reader *r)
{
	assert_false(read_register(r, A) & UIP);
	return read_rest(r);
}

/* Linux from 5.16 on, mc146818_avoid_UIP: the seconds before and after are the same. */
static time_t read_as_linux(struct reader *r)
{
	time_t t;
	int tries = 100;

	do {
		int seconds = number(r, SECONDS);

		assert_true(tries-- > 0);
		if (read_register(r, A) & UIP || number(r, SECONDS) != seconds)
			continue;
		t = read_rest(r);
		if (!(read_register(r, A) & UIP) && number(r, SECONDS) == seconds)
			return t;
	} while (true);
}

static void is_the_hosts_in_utc(void **state)
{
	static const time_t times[] = { 1795705701, 951782400, 4102444799, 1709164800 };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct reader r = { .now_ms = times[i] * 1000 };

		assert_int_equal(read_as_old_linux(&r), times[i]);
		assert_int_equal(read_as_linux(&r), times[i]);
	}
}

/* 2026-12-31 23:59:59, with a new second, minute, ... and year after each of its reads in turn. */
static void is_never_read_in_halves(void **state)
{
	const time_t last = 1798761599;

	for (int64_t ms = 0; ms < 1000; ms += 7) {
		struct reader r = { .now_ms = last * 1000 + ms, .step_ms = 20 };
		time_t old = read_as_old_linux(&r), new;

		assert_in_range(old, last, last + 1);
		r = (struct reader){ .now_ms = last * 1000 + ms, .step_ms = 20 };
		new = read_as_linux(&r);
		assert_in_range(new, last, r.now_ms / 1000);
	}
}

static void says_that_it_is_valid_and_masks_nmis(void **state)
{
	struct reader r = { .now_ms = 1795705701000 };

	assert_int_equal(read_register(&r, D), 0x80);
	assert_int_equal(read_register(&r, 0x80 | SECONDS), read_register(&r, SECONDS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_the_hosts_in_utc),
		cmocka_unit_test(is_never_read_in_halves),
		cmocka_unit_test(says_that_it_is_valid_and_masks_nmis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
