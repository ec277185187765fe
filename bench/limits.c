/* SPDX-License-Identifier: BSD-2-Clause */

/* The machine's own limits: cache lines that travel, memory that is copied, and a ring with nothing
 * of VMBus in it. */

#include "rows.h"

#include <string.h>

/* ---- cache lines alone: one for the flag, one for the data, each way ---- */

struct lines {
	uint64_t count;
	struct {
		uint64_t flag __attribute__((aligned(128)));
		uint8_t data[BENCH_LINE] __attribute__((aligned(128)));
	} there, back;
};

static void lines_ask(void *arg)
{
	struct lines *l = arg;

	for (uint64_t i = 1; i <= l->count; i++) {
		memcpy(l->there.data, bench_source, BENCH_LINE);
		__atomic_store_n(&l->there.flag, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&l->back.flag, __ATOMIC_ACQUIRE) != i)
			bench_pause();
		memcpy(bench_target, l->back.data, BENCH_LINE);
		bench_use(bench_target);
	}
}

static void lines_answer(void *arg)
{
	struct lines *l = arg;
	static uint8_t copy[BENCH_LINE];

	for (uint64_t i = 1; i <= l->count; i++) {
		while (__atomic_load_n(&l->there.flag, __ATOMIC_ACQUIRE) != i)
			bench_pause();
		memcpy(copy, l->there.data, BENCH_LINE);
		bench_use(copy);
		memcpy(l->back.data, copy, BENCH_LINE);
		__atomic_store_n(&l->back.flag, i, __ATOMIC_RELEASE);
	}
}

double lines_echo(uint64_t count, uint32_t size)
{
	static struct lines l;

	memset(&l, 0, sizeof(l));
	l.count = count;
	return bench_pair(lines_ask, lines_answer, &l);
}

/* ---- a ring of slots of one line: no header, no length, no check, no signal ---- */

#define SLOTS        (BENCH_RING_BYTES / BENCH_LINE)
#define SLOT_PUBLISH 32u /* slots */

struct slots {
	uint64_t written __attribute__((aligned(128)));
	uint64_t read __attribute__((aligned(128)));
	uint8_t *data __attribute__((aligned(128)));
	uint64_t count;
	uint32_t size;
};

/* Slot by slot, each fetching the one that is RING_AHEAD further on, if that is its own already. */
static void slots_put(uint8_t *at, uint32_t size, uint64_t room)
{
	for (uint32_t n = 0; n < size; n += BENCH_LINE) {
		if (n + RING_AHEAD < room)
			ring_prefetch_write(at + n + RING_AHEAD);
		memcpy(at + n, bench_source + n, BENCH_LINE);
	}
}

static void slots_take(const uint8_t *at, uint32_t size, uint64_t there)
{
	for (uint32_t n = 0; n < size; n += BENCH_LINE) {
		if (n + RING_AHEAD < there)
			ring_prefetch_read(at + n + RING_AHEAD);
		memcpy(bench_target + n, at + n, BENCH_LINE);
	}
	bench_use(bench_target);
}

static void slots_write(void *arg)
{
	struct slots *s = arg;
	uint32_t need = s->size / BENCH_LINE;
	uint64_t next = 0, shown = 0, read = 0;

	for (uint64_t i = 0; i < s->count; i++) {
		while (SLOTS - (next - read) < need) {
			if (shown != next)
				__atomic_store_n(&s->written, shown = next, __ATOMIC_RELEASE);
			read = __atomic_load_n(&s->read, __ATOMIC_ACQUIRE);
			if (SLOTS - (next - read) < need)
				bench_pause();
		}
		slots_put(s->data + next % SLOTS * BENCH_LINE, s->size,
		          (SLOTS - (next - read)) * BENCH_LINE);
		next += need;
		if (next - shown >= SLOT_PUBLISH)
			__atomic_store_n(&s->written, shown = next, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&s->written, next, __ATOMIC_RELEASE);
}

static void slots_read(void *arg)
{
	struct slots *s = arg;
	uint32_t need = s->size / BENCH_LINE;
	uint64_t next = 0, shown = 0, written = 0;

	for (uint64_t i = 0; i < s->count; i++) {
		while (written - next < need) {
			if (shown != next)
				__atomic_store_n(&s->read, shown = next, __ATOMIC_RELEASE);
			written = __atomic_load_n(&s->written, __ATOMIC_ACQUIRE);
			if (written - next < need)
				bench_pause();
		}
		slots_take(s->data + next % SLOTS * BENCH_LINE, s->size,
		           (written - next) * BENCH_LINE);
		next += need;
		if (next - shown >= SLOTS / 4)
			__atomic_store_n(&s->read, shown = next, __ATOMIC_RELEASE);
	}
}

double slots_stream(uint64_t count, uint32_t size)
{
	static struct slots s;
	struct ring_memory memory = bench_ring_map(); /* mirrored too: no wrap code either */
	double seconds;

	memset(&s, 0, sizeof(s));
	s.data = memory.data;
	s.count = count;
	s.size = size;
	seconds = bench_pair(slots_write, slots_read, &s);
	bench_ring_unmap(&memory);
	return seconds;
}

/* ---- copying alone ---- */

double copy_stream(uint64_t count, uint32_t size)
{
	double began = bench_now();

	for (uint64_t i = 0; i < count; i++) {
		memcpy(bench_target, bench_source, size);
		bench_use(bench_target);
	}
	return bench_now() - began;
}
