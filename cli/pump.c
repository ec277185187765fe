/* SPDX-License-Identifier: BSD-2-Clause */
#include "pump.h"
#include "cli.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POOL_TAG 0x706d7570u /* "pump" */

struct slot {
	struct storvsc_io io; /* first */
	struct work *work;
	uint8_t *buffer;
	uint64_t chunk; /* its number */
	uint64_t sent_ns;
	bool busy;
	uint64_t random;
};

/* What a pump and a bench have in common: slots with memory, and waiting for them. */
struct work {
	pthread_mutex_t lock; /* of busy */
	pthread_cond_t changed;
	struct slot *slots;
	uint32_t depth;
	struct pump *pump;
	struct pump_bench *bench;
	uint64_t end_ns;
	_Atomic uint64_t operations;
	atomic_bool failed;
};

static bool make_slot(struct slot *slot, struct work *w, uint32_t size)
{
	slot->work = w;
	slot->buffer = ExAllocatePoolWithTag(NonPagedPoolNx, size, POOL_TAG);
	if (!slot->buffer)
		return false;
	slot->io.mdl = IoAllocateMdl(slot->buffer, size, FALSE, FALSE, NULL);
	if (!slot->io.mdl)
		return false;
	MmBuildMdlForNonPagedPool(slot->io.mdl);
	return true;
}

static void work_free(struct work *w)
{
	uint32_t i;

	for (i = 0; w->slots && i < w->depth; i++) {
		if (w->slots[i].io.mdl)
			IoFreeMdl(w->slots[i].io.mdl);
		if (w->slots[i].buffer)
			ExFreePoolWithTag(w->slots[i].buffer, POOL_TAG);
	}
	free(w->slots);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

static NTSTATUS work_make(struct work *w, uint32_t depth, uint32_t size)
{
	uint32_t i;

	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->depth = depth;
	w->slots = calloc(depth, sizeof(*w->slots));
	for (i = 0; w->slots && i < depth; i++) {
		if (!make_slot(&w->slots[i], w, size))
			break;
	}
	if (w->slots && i == depth)
		return STATUS_SUCCESS;
	work_free(w);
	return STATUS_INSUFFICIENT_RESOURCES;
}

static void slot_done(struct slot *slot)
{
	struct work *w = slot->work;

	pthread_mutex_lock(&w->lock);
	slot->busy = false;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void slot_wait(struct slot *slot)
{
	struct work *w = slot->work;

	patience_wait(w->bench ? "random reads" : w->pump->what);
	pthread_mutex_lock(&w->lock);
	while (slot->busy)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
	patience_idle();
}

/* ---- a range in order ---- */

uint64_t pump_requests(const struct pump *p)
{
	return p->length / p->chunk + (p->length % p->chunk != 0);
}

static uint64_t chunk_at(const struct pump *p, uint64_t chunk)
{
	return p->at + chunk * p->chunk;
}

static uint32_t chunk_size(const struct pump *p, uint64_t chunk)
{
	uint64_t left = p->length - chunk * p->chunk;

	return left < p->chunk ? (uint32_t)left : p->chunk;
}

static uint32_t latency(const struct slot *slot)
{
	uint64_t ns = cli_now_ns() - slot->sent_ns;

	return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void chunk_done(struct storvsc_io *io)
{
	struct slot *slot = (struct slot *)io;
	struct pump *p = slot->work->pump;

	patience_answered();
	if (NT_SUCCESS(io->status) && io->transferred != io->length)
		io->status = STATUS_DEVICE_DATA_ERROR;
	if (p->kind == PUMP_COPY && io->direction == STORVSC_FROM_DISK && NT_SUCCESS(io->status)) {
		storvsc_prepare_write(io, p->to, chunk_at(p, slot->chunk), io->length);
		storvsc_submit(p->controller, io);
		return;
	}
	if (p->latencies_ns)
		p->latencies_ns[slot->chunk] = latency(slot);
	slot_done(slot);
}

static void begin_chunk(struct pump *p, struct slot *slot, uint64_t chunk)
{
	uint32_t n = chunk_size(p, chunk);

	slot->chunk = chunk;
	slot->busy = true;
	slot->io.done = chunk_done;
	if (p->kind == PUMP_WRITE)
		storvsc_prepare_write(&slot->io, p->disk, chunk_at(p, chunk), n);
	else
		storvsc_prepare_read(&slot->io, p->disk, chunk_at(p, chunk), n);
	slot->sent_ns = p->latencies_ns ? cli_now_ns() : 0;
	storvsc_submit(p->controller, &slot->io);
}

/* What was in the slot is over: take it in. */
static NTSTATUS end_chunk(struct pump *p, struct slot *slot)
{
	slot_wait(slot);
	if (!NT_SUCCESS(slot->io.status))
		return slot->io.status;
	if (p->kind == PUMP_READ && p->data && !p->data(p->context, slot->buffer, slot->io.length))
		p->stopped = true;
	if (p->progress)
		progress_at(p->progress, (slot->chunk + 1) * p->chunk);
	return STATUS_SUCCESS;
}

static NTSTATUS run_in_order(struct pump *p, struct work *w)
{
	uint64_t chunks = pump_requests(p), k;
	NTSTATUS status = STATUS_SUCCESS;

	for (k = 0; k < chunks + p->depth; k++) {
		struct slot *slot = &w->slots[k % p->depth];

		if (k >= p->depth && k - p->depth < chunks) {
			status = end_chunk(p, slot);
			if (!NT_SUCCESS(status) || p->stopped)
				break;
		}
		if (k >= chunks)
			continue;
		if (p->kind == PUMP_WRITE && !p->data(p->context, slot->buffer, chunk_size(p, k))) {
			p->stopped = true;
			break;
		}
		begin_chunk(p, slot, k);
	}
	for (k = 0; k < p->depth; k++) /* where it was broken off */
		slot_wait(&w->slots[k]);
	return status;
}

NTSTATUS pump_run(struct pump *p)
{
	uint64_t begin;
	struct work w;
	NTSTATUS status = work_make(&w, p->depth, p->chunk);

	if (!NT_SUCCESS(status))
		return status;
	w.pump = p;
	p->stopped = false;
	begin = cli_now_ns();
	status = run_in_order(p, &w);
	p->elapsed_ns = cli_now_ns() - begin;
	work_free(&w);
	return status;
}

/* ---- random reads ---- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13; /* xorshift64 */
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void begin_random(struct pump_bench *b, struct slot *slot)
{
	uint64_t places = b->disk->size / b->size;

	storvsc_prepare_read(&slot->io, b->disk, next_random(&slot->random) % places * b->size,
	                     b->size);
	slot->sent_ns = cli_now_ns();
	storvsc_submit(b->controller, &slot->io);
}

static void random_done(struct storvsc_io *io)
{
	struct slot *slot = (struct slot *)io;
	struct work *w = slot->work;
	struct pump_bench *b = w->bench;
	uint64_t n;

	patience_answered();
	if (NT_SUCCESS(io->status) && io->transferred != io->length)
		io->status = STATUS_DEVICE_DATA_ERROR; /* it has read nothing, or less */
	if (!NT_SUCCESS(io->status)) {
		w->failed = true;
		slot_done(slot);
		return;
	}
	n = atomic_fetch_add_explicit(&w->operations, 1, memory_order_relaxed);
	if (n < b->capacity)
		b->latencies_ns[n] = latency(slot);
	if (slot->sent_ns >= w->end_ns)
		slot_done(slot);
	else
		begin_random(b, slot);
}

static void show_time(struct work *w, uint64_t begin)
{
	struct timespec tick = { .tv_nsec = 100000000 };
	uint64_t now;

	while (w->bench->progress && !w->failed && (now = cli_now_ns()) < w->end_ns) {
		progress_at(w->bench->progress, now - begin);
		nanosleep(&tick, NULL);
	}
}

NTSTATUS pump_bench(struct pump_bench *b)
{
	NTSTATUS status;
	uint64_t begin;
	struct work w;
	uint32_t i;
	KIRQL irql;

	if (!b->size || b->disk->size < b->size)
		return STATUS_INVALID_PARAMETER;
	status = work_make(&w, b->depth, b->size);
	if (!NT_SUCCESS(status))
		return status;
	w.bench = b;
	begin = cli_now_ns();
	w.end_ns = begin + b->duration_ns;
	for (i = 0; i < b->depth; i++) {
		w.slots[i].busy = true;
		w.slots[i].random = 88172645463325252u + i * 2654435761u;
		w.slots[i].io.done = random_done;
	}
	KeRaiseIrql(DISPATCH_LEVEL, &irql); /* the first ones go as one batch */
	for (i = 0; i < b->depth; i++)
		begin_random(b, &w.slots[i]);
	KeLowerIrql(irql);
	patience_wait("random reads");
	show_time(&w, begin);
	for (i = 0; i < b->depth; i++) {
		slot_wait(&w.slots[i]);
		if (!NT_SUCCESS(w.slots[i].io.status))
			status = w.slots[i].io.status;
	}
	b->elapsed_ns = cli_now_ns() - begin;
	b->operations = w.operations;
	work_free(&w);
	return status;
}
