/* SPDX-License-Identifier: BSD-2-Clause */

/* The raw ring, one way and there and back. Both ends copy the payload, poll, and are pinned. */

#include "rows.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Control page and data, which is mapped twice in a row. */
struct ring_memory bench_ring_map(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	uint8_t *at;

	if (fd < 0 || ftruncate(fd, WIRE_PAGE_SIZE + BENCH_RING_BYTES) != 0)
		abort();
	at = mmap(NULL, WIRE_PAGE_SIZE + 2 * BENCH_RING_BYTES, PROT_NONE,
	          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED ||
	    mmap(at, WIRE_PAGE_SIZE + BENCH_RING_BYTES, PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED ||
	    mmap(at + WIRE_PAGE_SIZE + BENCH_RING_BYTES, BENCH_RING_BYTES, PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, WIRE_PAGE_SIZE) == MAP_FAILED)
		abort();
	close(fd);
	return (struct ring_memory){ (void *)at, at + WIRE_PAGE_SIZE, NULL, BENCH_RING_BYTES };
}

void bench_ring_unmap(const struct ring_memory *memory)
{
	munmap(memory->control, WIRE_PAGE_SIZE + 2 * BENCH_RING_BYTES);
}

/* ---- our ring, one way ---- */

enum publishing { BATCHED, COMMIT_EACH, PUBLISH_EACH };

struct ring_stream {
	struct ring_writer w;
	struct ring_reader r;
	uint64_t count;
	uint32_t size;
	enum publishing publishing;
};

static void ring_stream_write(void *arg)
{
	struct ring_stream *s = arg;
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };
	struct ring_span span = { bench_source, s->size };

	for (uint64_t i = 0; i < s->count; i++) {
		packet.transaction_id = i;
		while (ring_write(&s->w, packet, &span, 1) != RING_OK) {
			ring_write_commit(&s->w);
			bench_pause();
		}
		if (s->publishing == COMMIT_EACH)
			ring_write_commit(&s->w);
		else if (s->publishing == PUBLISH_EACH)
			ring_write_publish(&s->w);
	}
	ring_write_publish(&s->w);
}

static void ring_stream_read(void *arg)
{
	struct ring_stream *s = arg;
	struct ring_packet packet;

	for (uint64_t i = 0; i < s->count; i++) {
		while (ring_read_next(&s->r, &packet) != RING_OK) {
			ring_read_publish(&s->r);
			bench_pause();
		}
		if (packet.transaction_id != i || packet.size != 16 + s->size)
			abort();
		ring_read_copy(&s->r, &packet, packet.payload_offset, bench_target, s->size);
		bench_use(bench_target);
		ring_read_advance(&s->r, &packet);
	}
}

static double ring_stream(uint64_t count, uint32_t size, enum publishing publishing)
{
	static struct ring_stream s;
	struct ring_memory memory = bench_ring_map();
	double seconds;

	s.count = count;
	s.size = size;
	s.publishing = publishing;
	if (ring_writer_init(&s.w, &memory) != RING_OK ||
	    ring_reader_init(&s.r, &memory) != RING_OK)
		abort();
	ring_read_mask(&s.r);
	seconds = bench_pair(ring_stream_write, ring_stream_read, &s);
	bench_ring_unmap(&memory);
	return seconds;
}

double ring_batched(uint64_t count, uint32_t size)
{
	return ring_stream(count, size, BATCHED);
}

double ring_commit_each(uint64_t count, uint32_t size)
{
	return ring_stream(count, size, COMMIT_EACH);
}

double ring_publish_each(uint64_t count, uint32_t size)
{
	return ring_stream(count, size, PUBLISH_EACH);
}

/* ---- our rings, there and back ---- */

struct ring_echo {
	struct ring_stream there, back;
	uint64_t count;
	uint32_t size;
};

static void ring_echo_send(struct ring_stream *s, uint64_t id, uint32_t size)
{
	struct wire_packet packet = { .type = WIRE_PACKET_DATA_INBAND, .offset8 = 2 };
	struct ring_span span = { bench_source, size };

	packet.transaction_id = id;
	if (ring_write(&s->w, packet, &span, 1) != RING_OK)
		abort();
	ring_write_publish(&s->w);
}

static void ring_echo_receive(struct ring_stream *s, uint64_t id, uint8_t *target, uint32_t size)
{
	struct ring_packet packet;

	while (ring_read_next(&s->r, &packet) != RING_OK)
		bench_pause();
	if (packet.transaction_id != id)
		abort();
	ring_read_copy(&s->r, &packet, packet.payload_offset, target, size);
	bench_use(target);
	ring_read_advance(&s->r, &packet);
}

static void ring_echo_ask(void *arg)
{
	struct ring_echo *e = arg;

	for (uint64_t i = 0; i < e->count; i++) {
		ring_echo_send(&e->there, i, e->size);
		ring_echo_receive(&e->back, i, bench_target, e->size);
	}
}

static void ring_echo_answer(void *arg)
{
	static uint8_t copy[BENCH_PAYLOAD] __attribute__((aligned(64)));
	struct ring_echo *e = arg;

	for (uint64_t i = 0; i < e->count; i++) {
		ring_echo_receive(&e->there, i, copy, e->size);
		ring_echo_send(&e->back, i, e->size);
	}
}

double ring_echo(uint64_t count, uint32_t size)
{
	static struct ring_echo e;
	struct ring_memory there = bench_ring_map(), back = bench_ring_map();
	double seconds;

	e.count = count;
	e.size = size;
	if (ring_writer_init(&e.there.w, &there) != RING_OK ||
	    ring_reader_init(&e.there.r, &there) != RING_OK ||
	    ring_writer_init(&e.back.w, &back) != RING_OK ||
	    ring_reader_init(&e.back.r, &back) != RING_OK)
		abort();
	ring_read_mask(&e.there.r);
	ring_read_mask(&e.back.r);
	seconds = bench_pair(ring_echo_ask, ring_echo_answer, &e);
	bench_ring_unmap(&there);
	bench_ring_unmap(&back);
	return seconds;
}
