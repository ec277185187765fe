/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#define MANY 2000

struct item {
	struct nt_strand_item item;
	struct nt_strand *strand;
	unsigned number;
};

static unsigned ran, inside;
static bool in_order, current;

static void note(void *context)
{
	struct item *item = context;

	inside++;
	assert_int_equal(inside, 1);
	in_order &= item->number == ran;
	current &= nt_strand_is_current(item->strand);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	ran++;
	inside--;
}

static void items_run_in_order_one_at_a_time(void **state)
{
	static struct item items[MANY];
	struct nt_strand strand;

	nt_strand_init(&strand);
	ran = 0;
	in_order = current = true;
	for (unsigned i = 0; i < MANY; i++) {
		items[i] = (struct item){ .item = { .routine = note, .context = &items[i] },
			                  .strand = &strand,
			                  .number = i };
		nt_strand_queue(&strand, &items[i].item);
	}
	nt_strand_drain(&strand);
	assert_int_equal(ran, MANY);
	assert_true(in_order);
	assert_true(current);
	assert_false(nt_strand_is_current(&strand));
	nt_strand_drain(&strand); /* nothing to wait for */
}

static LONG steps;

static void slow_step(void *context)
{
	sleep_ms(10);
	InterlockedIncrement(&steps);
}

static void *drain_too(void *argument)
{
	nt_strand_drain(argument);
	assert_int_equal(ReadAcquire(&steps), 4);
	return NULL;
}

static void a_drain_waits_for_the_last_one(void **state)
{
	struct nt_strand_item items[4];
	struct nt_strand strand;
	pthread_t other;

	nt_strand_init(&strand);
	for (unsigned i = 0; i < 4; i++) {
		items[i].routine = slow_step;
		nt_strand_queue(&strand, &items[i]);
	}
	other = start(drain_too, &strand);
	nt_strand_drain(&strand);
	assert_int_equal(ReadAcquire(&steps), 4);
	finish(other);
}

static LONG again;

static void queue_again(void *context)
{
	struct item *item = context;

	if (InterlockedIncrement(&again) < 500)
		nt_strand_queue(item->strand, &item->item);
}

static void an_item_may_be_used_again_from_its_routine_on(void **state)
{
	struct nt_strand strand;
	struct item item = { .item = { .routine = queue_again, .context = &item },
		             .strand = &strand };

	nt_strand_init(&strand);
	nt_strand_queue(&strand, &item.item);
	while (ReadAcquire(&again) < 500)
		nt_strand_drain(&strand);
	nt_strand_drain(&strand);
	assert_int_equal(again, 500);
}

static KEVENT go;

static void block(void *context)
{
	wait_forever(&go);
}

static void set(void *context)
{
	KeSetEvent(&go, 0, FALSE);
}

static void strands_do_not_hold_up_each_other(void **state)
{
	struct nt_strand a, b;
	struct nt_strand_item blocks = { .routine = block }, sets = { .routine = set };

	KeInitializeEvent(&go, NotificationEvent, FALSE);
	nt_strand_init(&a);
	nt_strand_init(&b);
	nt_strand_queue(&a, &blocks);
	nt_strand_queue(&b, &sets);
	nt_strand_drain(&a);
	nt_strand_drain(&b);
}

static void nothing(void *context)
{
}

/* Once drained, a strand may be freed. */
static void drained_it_may_go(void **state)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct nt_strand *strand = malloc(sizeof(*strand));
		struct nt_strand_item items[2] = { { .routine = nothing }, { .routine = nothing } };

		nt_strand_init(strand);
		nt_strand_queue(strand, &items[0]);
		if (i & 1)
			sched_yield();
		nt_strand_queue(strand, &items[1]);
		nt_strand_drain(strand);
		memset(strand, 0xaa, sizeof(*strand));
		free(strand);
	}
}

static LONG total;
static struct nt_strand shared;

static void count(void *context)
{
	total++; /* the strand's order is the lock */
	free(context);
}

static void *feed(void *argument)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct nt_strand_item *item = malloc(sizeof(*item));

		*item = (struct nt_strand_item){ .routine = count, .context = item };
		nt_strand_queue(&shared, item);
		if (i % 500 == 0)
			nt_strand_drain(&shared);
	}
	return NULL;
}

static void many_threads_feed_it(void **state)
{
	pthread_t threads[3];

	nt_strand_init(&shared);
	for (unsigned i = 0; i < 3; i++)
		threads[i] = start(feed, NULL);
	for (unsigned i = 0; i < 3; i++)
		finish(threads[i]);
	nt_strand_drain(&shared);
	assert_int_equal(total, 6000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_run_in_order_one_at_a_time),
		cmocka_unit_test(a_drain_waits_for_the_last_one),
		cmocka_unit_test(an_item_may_be_used_again_from_its_routine_on),
		cmocka_unit_test(strands_do_not_hold_up_each_other),
		cmocka_unit_test(drained_it_may_go),
		cmocka_unit_test(many_threads_feed_it),
	};

	return RUN(tests);
}
