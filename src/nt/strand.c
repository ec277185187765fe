/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

struct drainer {
	struct drainer *next;
	uint32_t target;
	struct nt_latch latch;
};

/* What nt_strand.lock_and_list is. */
struct strand_private {
	struct nt_lock lock;
	uint32_t running;
	struct nt_strand_item *first, **last;
	uint32_t queued; /* items ever, modulo 2^32 */
	uint32_t done;
	struct drainer *drainers;
};

_Static_assert(sizeof(struct strand_private) <= sizeof(((struct nt_strand *)0)->lock_and_list),
               "fits");

static struct strand_private *private_of(const struct nt_strand *s)
{
	return (struct strand_private *)(uintptr_t)s->lock_and_list;
}

static bool reached(uint32_t done, uint32_t target)
{
	return (int32_t)(done - target) >= 0;
}

static struct nt_strand_item *pop(struct strand_private *p)
{
	struct nt_strand_item *item = p->first;

	if (!item) {
		p->running = 0;
		return NULL;
	}
	p->first = item->next;
	if (!p->first)
		p->last = &p->first;
	return item;
}

/* Takes those off the list whose items are done. */
static struct drainer *drained(struct strand_private *p)
{
	struct drainer **link = &p->drainers, *list = NULL;

	while (*link) {
		struct drainer *d = *link;

		if (!reached(p->done, d->target)) {
			link = &d->next;
			continue;
		}
		*link = d->next;
		d->next = list;
		list = d;
	}
	return list;
}

static void post(struct drainer *list)
{
	while (list) {
		struct drainer *next = list->next;

		nt_latch_post(&list->latch);
		list = next;
	}
}

static void strand_run(void *context)
{
	struct nt_strand *s = context;
	struct strand_private *p = private_of(s);
	struct nt_strand_item *item;
	struct drainer *list;

	nt_self.strand = s;
	nt_lock_acquire(&p->lock);
	item = pop(p);
	nt_lock_release(&p->lock);
	while (item) {
		item->routine(item->context); /* which may use the item again */
		nt_lock_acquire(&p->lock);
		p->done++;
		item = pop(p);
		list = drained(p);
		nt_lock_release(&p->lock);
		/* Without an item the strand may be gone once a drainer is posted. */
		post(list);
	}
	nt_self.strand = NULL;
}

void nt_strand_init(struct nt_strand *s)
{
	struct strand_private *p = private_of(s);

	memset(s, 0, sizeof(*s));
	s->work.routine = strand_run;
	s->work.context = s;
	p->last = &p->first;
}

void nt_strand_queue(struct nt_strand *s, struct nt_strand_item *item)
{
	struct strand_private *p = private_of(s);
	bool start;

	item->next = NULL;
	nt_lock_acquire(&p->lock);
	*p->last = item;
	p->last = &item->next;
	p->queued++;
	start = !p->running;
	p->running = 1;
	nt_lock_release(&p->lock);
	if (start)
		nt_work_queue(&s->work);
}

bool nt_strand_is_current(const struct nt_strand *s)
{
	return nt_self.strand == s;
}

void nt_strand_drain(struct nt_strand *s)
{
	struct strand_private *p = private_of(s);
	struct drainer self = { 0 };
	bool wait;

	if (nt_strand_is_current(s)) {
		nt_misuse(__func__, NULL, "the strand cannot wait for itself");
		return;
	}
	if (!nt_irql_at_most(APC_LEVEL, __func__, NULL))
		return;
	nt_lock_acquire(&p->lock);
	self.target = p->queued;
	wait = !reached(p->done, self.target);
	if (wait) {
		self.next = p->drainers;
		p->drainers = &self;
	}
	nt_lock_release(&p->lock);
	if (wait)
		nt_latch_wait(&self.latch);
}
