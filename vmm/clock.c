/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The clock of a PC: what a kernel reads before it has anything better. It runs with the host's
 * clock, in UTC, and cannot be set; it has no alarm, no interrupts and no memory.
 *
 * Source: the data sheet of Motorola's MC146818. Linux (drivers/rtc/rtc-mc146818-lib.c) and FreeBSD
 * (sys/x86/isa/atrtc.c) begin with the seconds or with the flag that says "updating", and so each
 * of these takes a new time, and the others are of the time taken last: nobody reads half of one
 * minute and half of the next, however slow the processor. The flag is never set.
 */

#include "machine.h"

#define CLOCK_SECONDS    0x00u
#define CLOCK_MINUTES    0x02u
#define CLOCK_HOURS      0x04u
#define CLOCK_WEEKDAY    0x06u
#define CLOCK_DAY        0x07u
#define CLOCK_MONTH      0x08u
#define CLOCK_YEAR       0x09u
#define CLOCK_A          0x0au
#define CLOCK_B          0x0bu
#define CLOCK_D          0x0du
#define CLOCK_CENTURY    0x32u
#define CLOCK_A_VALUE    0x26u /* 32768 Hz, 1024 Hz, not updating */
#define CLOCK_B_24_HOURS 0x02u /* and BCD */
#define CLOCK_D_VALID    0x80u
#define CLOCK_INDEX_MASK 0x7fu /* the top bit masks NMIs */

static uint8_t bcd(int value)
{
	return (uint8_t)(value / 10 << 4 | value % 10);
}

void clock_select(struct clock *clock, uint8_t index)
{
	atomic_store_explicit(&clock->index, index & CLOCK_INDEX_MASK, memory_order_relaxed);
}

uint8_t clock_read(struct clock *clock, time_t now)
{
	uint8_t index = atomic_load_explicit(&clock->index, memory_order_relaxed);
	time_t taken = now;
	struct tm tm;

	if (index == CLOCK_SECONDS || index == CLOCK_A)
		atomic_store_explicit(&clock->taken, now, memory_order_relaxed);
	else
		taken = atomic_load_explicit(&clock->taken, memory_order_relaxed);
	gmtime_r(&taken, &tm);
	switch (index) {
	case CLOCK_SECONDS:
		return bcd(tm.tm_sec);
	case CLOCK_MINUTES:
		return bcd(tm.tm_min);
	case CLOCK_HOURS:
		return bcd(tm.tm_hour);
	case CLOCK_WEEKDAY:
		return bcd(tm.tm_wday + 1);
	case CLOCK_DAY:
		return bcd(tm.tm_mday);
	case CLOCK_MONTH:
		return bcd(tm.tm_mon + 1);
	case CLOCK_YEAR:
		return bcd(tm.tm_year % 100);
	case CLOCK_CENTURY:
		return bcd(19 + tm.tm_year / 100);
	case CLOCK_A:
		return CLOCK_A_VALUE;
	case CLOCK_B:
		return CLOCK_B_24_HOURS;
	case CLOCK_D:
		return CLOCK_D_VALID;
	default:
		return 0;
	}
}
