/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/disk_sync.h"
#include "scsi/disk_image.h"

#include <errno.h>
#include <stddef.h>

void disk_sync_init(struct disk_sync *s)
{
	*s = (struct disk_sync){ .last_running = &s->running, .last_kept = &s->kept };
	pthread_mutex_init(&s->lock, NULL);
}

void disk_sync_destroy(struct disk_sync *s)
{
	pthread_mutex_destroy(&s->lock);
}

static void append(struct disk_op ***last, struct disk_op *op)
{
	op->sync.next = NULL;
	**last = op;
	*last = &op->sync.next;
}

static void take_out(struct disk_op **first, struct disk_op ***last, struct disk_op *op)
{
	struct disk_op **link = first;

	while (*link != op)
		link = &(*link)->sync.next;
	*link = op->sync.next;
	if (!*link)
		*last = link;
}

void disk_sync_begin(struct disk_sync *s, struct disk_op *op)
{
	pthread_mutex_lock(&s->lock);
	op->sync.number = ++s->begun;
	op->sync.lost = s->lost;
	append(&s->last_running, op);
	pthread_mutex_unlock(&s->lock);
}

static void doom(struct disk_op *list, int error)
{
	for (; list; list = list->sync.next) {
		if (!list->sync.lost)
			list->sync.lost = error;
	}
}

/* A write may fail by itself; that memory was not to be had at all says nothing of other data. */
static bool tells_of_loss(const struct disk_op *op)
{
	return op->error && op->error != EFAULT;
}

/* Those kept whose companions are all done, or who know already. */
static struct disk_op *release(struct disk_sync *s)
{
	struct disk_op *done = NULL, **last = &done, *op;

	while ((op = s->kept) &&
	       (op->sync.lost || !s->running || s->running->sync.number > op->sync.number)) {
		take_out(&s->kept, &s->last_kept, op);
		if (op->sync.lost)
			op->error = op->sync.lost;
		op->lost = op->sync.lost;
		op->next = NULL;
		*last = op;
		last = &op->next;
	}
	return done;
}

struct disk_op *disk_sync_end(struct disk_sync *s, struct disk_op *op)
{
	struct disk_op *done;

	pthread_mutex_lock(&s->lock);
	take_out(&s->running, &s->last_running, op);
	append(&s->last_kept, op);
	op->sync.number = s->begun;
	if (tells_of_loss(op)) {
		if (!s->lost)
			s->lost = op->error;
		doom(s->running, s->lost);
		doom(s->kept, s->lost);
	}
	done = release(s);
	pthread_mutex_unlock(&s->lock);
	return done;
}

void disk_sync_heal(struct disk_sync *s)
{
	pthread_mutex_lock(&s->lock);
	s->lost = 0;
	pthread_mutex_unlock(&s->lock);
}

int disk_sync_lost(struct disk_sync *s)
{
	int lost;

	pthread_mutex_lock(&s->lock);
	lost = s->lost;
	pthread_mutex_unlock(&s->lock);
	return lost;
}
