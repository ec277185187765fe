/* SPDX-License-Identifier: BSD-2-Clause */
#include "checker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define WORDS   5
#define HISTORY 40
#define CELLS   16
#define STACK   4096
#define PRIVATE 512
#define DEPTH   2048

/* How much of each word's history, and of each thread's accesses to data, one knows of. */
struct view {
	uint8_t seen[WORDS];
	uint8_t clock[CHECKER_THREADS];
};

struct store {
	uint32_t value;
	struct view view; /* what an acquire load of it learns */
};

struct word {
	uint32_t count;
	struct store history[HISTORY];
};

struct cell {
	uint64_t content[2];
	uint8_t written, read; /* the toucher's clock */
	uint8_t writer, reader;
};

struct event {
	bool set;
	struct view view;
};

enum step { STEP_LOAD, STEP_STORE, STEP_FENCE, STEP_SET, STEP_WAIT, STEP_DONE };

struct thread {
	enum step step; /* that it is about to take */
	uint32_t index; /* of the word or event */
	uint32_t value; /* stored, or loaded */
	bool ordered;   /* acquire or release */
	bool touched;   /* data, since it last let others know */
	const char *where;
	uint64_t past; /* hash of all it has read since checker_here() */
	struct view view;
	struct view acquired; /* by relaxed loads, for the next fence */
	struct view released; /* by the last fence, for relaxed stores */
	ucontext_t context;
	uint8_t stack[STACK] __attribute__((aligned(64)));
};

/* Everything that a step can change. */
struct world {
	struct thread threads[CHECKER_THREADS];
	struct word words[WORDS];
	struct cell cells[CELLS];
	struct event events[CHECKER_EVENTS];
	struct view global; /* of fences */
	uint8_t private[PRIVATE] __attribute__((aligned(64)));
};

struct taken {
	uint8_t thread;
	uint8_t step;
	uint8_t index;
	uint32_t value;
	const char *where;
};

static struct world world;
static ucontext_t scheduler;
static unsigned running;
static const struct checker_setup *setup;
static struct checker_result result;
static struct taken path[DEPTH];

static struct {
	uint64_t (*keys)[2];
	uint64_t size, used;
} visited;

/* ---- hashing and the set of visited states ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
	hash *= 0xff51afd7ed558ccd;
	return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (; size >= 8; size -= 8, at += 8) {
		uint64_t value;

		memcpy(&value, at, 8);
		hash = mix(hash, value);
	}
	for (; size != 0; size--, at++)
		hash = mix(hash, *at);
	return hash;
}

static uint64_t mix_view(uint64_t hash, const struct view *view)
{
	hash = mix_bytes(hash, view->seen, sizeof(view->seen));
	return mix_bytes(hash, view->clock, sizeof(view->clock));
}

/* The oldest store of a word that some thread may still load. */
static uint32_t oldest(uint32_t index)
{
	uint32_t first = world.threads[0].view.seen[index];

	for (unsigned t = 1; t < CHECKER_THREADS; t++)
		if (world.threads[t].view.seen[index] < first)
			first = world.threads[t].view.seen[index];
	return first;
}

static uint64_t hash_world(uint64_t seed)
{
	uint64_t hash = seed;

	for (unsigned t = 0; t < CHECKER_THREADS; t++) {
		const struct thread *thread = &world.threads[t];

		hash = mix(hash, thread->past);
		hash = mix(hash, thread->step * 2u + thread->touched);
		hash = mix_view(hash, &thread->view);
		hash = mix_view(hash, &thread->acquired);
		hash = mix_view(hash, &thread->released);
	}
	for (uint32_t i = 0; i < WORDS; i++) {
		const struct word *word = &world.words[i];

		hash = mix(hash, word->count);
		for (uint32_t n = oldest(i); n < word->count; n++) {
			hash = mix(hash, word->history[n].value);
			hash = mix_view(hash, &word->history[n].view);
		}
	}
	for (unsigned i = 0; i < CELLS; i++)
		hash = mix(hash, world.cells[i].written | world.cells[i].read << 8 |
		                         world.cells[i].writer << 16 | world.cells[i].reader << 24);
	for (unsigned i = 0; i < CHECKER_EVENTS; i++) {
		hash = mix(hash, world.events[i].set);
		hash = mix_view(hash, &world.events[i].view);
	}
	return mix_view(hash, &world.global);
}

static uint64_t visited_slot(const uint64_t key[2])
{
	uint64_t slot = key[0] & (visited.size - 1);

	while (visited.keys[slot][1] != 0 &&
	       (visited.keys[slot][0] != key[0] || visited.keys[slot][1] != key[1]))
		slot = (slot + 1) & (visited.size - 1);
	return slot;
}

static void visited_resize(uint64_t size)
{
	uint64_t(*old)[2] = visited.keys;
	uint64_t old_size = visited.size;

	visited.size = size;
	visited.keys = calloc(size, sizeof(*visited.keys));
	if (visited.keys == NULL)
		abort();
	for (uint64_t i = 0; i < old_size; i++)
		if (old[i][1] != 0)
			memcpy(visited.keys[visited_slot(old[i])], old[i], sizeof(*old));
	free(old);
}

/* True: this state is new. 128 bits of hash stand for it: that two of some million states share
 * one has a chance of 1 in 10^25. */
static bool visited_add(void)
{
	uint64_t key[2] = { hash_world(1), hash_world(2) | 1 };
	uint64_t slot;

	if (visited.used * 2 >= visited.size)
		visited_resize(visited.size != 0 ? visited.size * 2 : 1 << 16);
	slot = visited_slot(key);
	if (visited.keys[slot][1] != 0)
		return false;
	memcpy(visited.keys[slot], key, sizeof(key));
	visited.used++;
	return true;
}

/* ---- the memory model ---- */

static void join(struct view *view, const struct view *other)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (other->seen[i] > view->seen[i])
			view->seen[i] = other->seen[i];
	for (unsigned i = 0; i < CHECKER_THREADS; i++)
		if (other->clock[i] > view->clock[i])
			view->clock[i] = other->clock[i];
}

static void do_load(struct thread *t, uint32_t choice)
{
	uint32_t n = t->view.seen[t->index] + choice;
	const struct store *store = &world.words[t->index].history[n];

	t->value = store->value;
	t->view.seen[t->index] = (uint8_t)n;
	join(&t->acquired, &store->view);
	if (t->ordered)
		join(&t->view, &store->view);
	t->past = mix(t->past, t->value);
}

static void do_store(struct thread *t)
{
	struct word *word = &world.words[t->index];
	struct store *store = &word->history[word->count];

	if (word->count == HISTORY)
		abort();
	t->view.seen[t->index] = (uint8_t)word->count++;
	store->value = t->value;
	store->view = t->ordered ? t->view : t->released;
	store->view.seen[t->index] = t->view.seen[t->index];
	t->touched &= !t->ordered;
	t->past = mix(t->past, STEP_STORE);
}

static void do_fence(struct thread *t)
{
	join(&t->view, &t->acquired);
	join(&t->view, &world.global);
	world.global = t->view;
	t->acquired = t->view;
	t->released = t->view;
	t->touched = false;
	t->past = mix(t->past, STEP_FENCE);
}

static void do_set(struct thread *t)
{
	struct event *event = &world.events[t->index];

	event->set = true;
	join(&event->view, &t->view);
	t->touched = false;
	t->past = mix(t->past, STEP_SET);
}

static void do_wait(struct thread *t)
{
	struct event *event = &world.events[t->index];

	event->set = false;
	join(&t->view, &event->view);
	join(&t->acquired, &event->view);
	t->past = mix(t->past, STEP_WAIT);
}

/* How many ways there are to take the thread's next step. */
static uint32_t choices(const struct thread *t)
{
	switch (t->step) {
	case STEP_LOAD:
		return world.words[t->index].count - t->view.seen[t->index];
	case STEP_WAIT:
		return world.events[t->index].set;
	case STEP_DONE:
		return 0;
	default:
		return 1;
	}
}

static void do_step(struct thread *t, uint32_t choice)
{
	switch (t->step) {
	case STEP_LOAD:
		do_load(t, choice);
		break;
	case STEP_STORE:
		do_store(t);
		break;
	case STEP_FENCE:
		do_fence(t);
		break;
	case STEP_SET:
		do_set(t);
		break;
	case STEP_WAIT:
		do_wait(t);
		break;
	case STEP_DONE:
		abort();
	}
}

/* ---- in the threads ---- */

/* Stops before the step; comes back when the checker has taken it. */
static uint32_t stop_before(enum step step, uint32_t index, uint32_t value, bool ordered,
                            const char *where)
{
	struct thread *t = &world.threads[running];

	t->step = step;
	t->index = index;
	t->value = value;
	t->ordered = ordered;
	t->where = where;
	swapcontext(&t->context, &scheduler);
	return t->value;
}

static bool spoilt(const char *list, const char *where)
{
	return list != NULL && strcmp(list, where) == 0;
}

/* The words of the control page that are used, without the gap between them. */
static uint32_t index_of(const uint32_t *word)
{
	size_t index = (size_t)(word - setup->words);

	return index < WORDS - 1 ? (uint32_t)index : WORDS - 1;
}

uint32_t checker_load(const uint32_t *word, bool acquire, const char *where)
{
	return stop_before(STEP_LOAD, index_of(word), 0,
	                   acquire && !spoilt(setup->without_order, where), where);
}

void checker_store(uint32_t *word, uint32_t value, bool release, const char *where)
{
	stop_before(STEP_STORE, index_of(word), value,
	            release && !spoilt(setup->without_order, where), where);
}

void checker_fence(const char *where)
{
	if (!spoilt(setup->without_fence, where))
		stop_before(STEP_FENCE, 0, 0, false, where);
}

void checker_event_set(unsigned event)
{
	stop_before(STEP_SET, event, 0, false, "event");
}

void checker_event_wait(unsigned event)
{
	stop_before(STEP_WAIT, event, 0, false, "event");
}

void checker_here(const void *state, size_t size, uint32_t step)
{
	world.threads[running].past = mix_bytes(mix(step, running), state, size);
}

void checker_fail(const char *what)
{
	if (result.failure == NULL)
		result.failure = what;
}

bool checker_is_data(const uint8_t *at)
{
	return at >= setup->data && at < setup->data + 2 * setup->data_size;
}

static uint32_t offset_of(const uint8_t *at)
{
	if (!checker_is_data(at))
		abort();
	return (uint32_t)(at - setup->data) % setup->data_size;
}

/* The clock that this touch has: others know of it when they have seen so much of this thread. */
static uint8_t touch(struct thread *t, bool same)
{
	if (!same || !t->touched)
		t->view.clock[running]++;
	t->touched = true;
	return t->view.clock[running];
}

uint64_t *checker_data_write(const uint8_t *at)
{
	static uint64_t elsewhere;
	struct thread *t = &world.threads[running];
	uint32_t offset = offset_of(at), inside = offset % setup->cell_size;
	struct cell *cell = &world.cells[offset / setup->cell_size];

	if (cell->reader != running && t->view.clock[cell->reader] < cell->read)
		checker_fail("data race: written while it may still be read");
	cell->written = touch(t, cell->written == t->view.clock[running]);
	cell->writer = (uint8_t)running;
	return inside < 16 ? &cell->content[inside / 8] : &elsewhere;
}

const uint64_t *checker_data_read(const uint8_t *at)
{
	static const uint64_t elsewhere;
	struct thread *t = &world.threads[running];
	uint32_t offset = offset_of(at), inside = offset % setup->cell_size;
	struct cell *cell = &world.cells[offset / setup->cell_size];

	if (cell->writer != running && t->view.clock[cell->writer] < cell->written)
		checker_fail("data race: read before it was written");
	cell->read = touch(t, cell->read == t->view.clock[running]);
	cell->reader = (uint8_t)running;
	return inside < 16 ? &cell->content[inside / 8] : &elsewhere;
}

/* ---- the search ---- */

static void thread_main(void)
{
	setup->threads[running]();
	for (;;)
		stop_before(STEP_DONE, 0, 0, false, "end");
}

static void resume(unsigned t)
{
	running = t;
	swapcontext(&scheduler, &world.threads[t].context);
}

static void say_path(unsigned depth)
{
	static const char *const names[] = { "loads",      "stores",         "fence",
		                             "sets event", "wakes by event", "done" };
	unsigned first = depth > 60 ? depth - 60 : 0;
	size_t at = 0;

	for (unsigned i = first; i < depth && at < sizeof(result.trace) - 80; i++)
		at += (size_t)snprintf(result.trace + at, sizeof(result.trace) - at,
		                       "#   thread %u %s word %u: %u in %s\n", path[i].thread,
		                       names[path[i].step], path[i].index, path[i].value,
		                       path[i].where);
}

static bool all_done(void)
{
	for (unsigned t = 0; t < CHECKER_THREADS; t++)
		if (world.threads[t].step != STEP_DONE)
			return false;
	return true;
}

static void explore(unsigned depth);

/* Takes one step one way, and everything after it; then puts the world back. */
static void explore_step(unsigned depth, unsigned t, uint32_t choice, const struct world *before)
{
	struct thread *thread = &world.threads[t];

	path[depth] = (struct taken){ (uint8_t)t, (uint8_t)thread->step, (uint8_t)thread->index, 0,
		                      thread->where };
	do_step(thread, choice);
	path[depth].value = thread->value;
	resume(t);
	if (result.failure != NULL)
		say_path(depth + 1);
	else
		explore(depth + 1);
	if (result.failure == NULL)
		world = *before;
}

static void explore(unsigned depth)
{
	struct world *before;
	bool stuck = true;

	if (!visited_add())
		return;
	result.states++;
	if (depth == DEPTH - 1)
		abort();
	before = malloc(sizeof(*before));
	if (before == NULL)
		abort();
	*before = world;
	for (unsigned t = 0; t < CHECKER_THREADS && result.failure == NULL; t++) {
		uint32_t ways = choices(&world.threads[t]);

		/* Newest first: what goes wrong is mostly shown by an old one, soon after. */
		for (uint32_t choice = ways; choice-- != 0 && result.failure == NULL;) {
			stuck = false;
			explore_step(depth, t, choice, before);
		}
	}
	free(before);
	if (stuck && !all_done()) {
		checker_fail("deadlock: a wake-up was lost");
		say_path(depth);
	}
}

static void start_world(void)
{
	memset(&world, 0, sizeof(world));
	memcpy(world.private, setup->state, setup->state_size);
	for (unsigned i = 0; i < CELLS; i++)
		memcpy(world.cells[i].content, setup->cells[i], sizeof(world.cells[i].content));
	for (uint32_t i = 0; i < WORDS; i++) {
		world.words[i].count = 1;
		world.words[i].history[0].value = i < WORDS - 1 ? setup->words[i] : 0;
	}
	for (unsigned t = 0; t < CHECKER_THREADS; t++) {
		struct thread *thread = &world.threads[t];

		getcontext(&thread->context);
		thread->context.uc_stack.ss_sp = thread->stack;
		thread->context.uc_stack.ss_size = sizeof(thread->stack);
		thread->context.uc_link = NULL;
		makecontext(&thread->context, thread_main, 0);
	}
	for (unsigned t = 0; t < CHECKER_THREADS; t++)
		resume(t);
}

void *checker_private(void)
{
	return world.private;
}

struct checker_result checker_run(const struct checker_setup *what)
{
	setup = what;
	memset(&result, 0, sizeof(result));
	if (what->state_size > PRIVATE || what->data_size / what->cell_size > CELLS)
		abort();
	start_world();
	explore(0);
	free(visited.keys);
	memset(&visited, 0, sizeof(visited));
	return result;
}
