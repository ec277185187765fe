/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The raw ring against what it cannot beat (cache lines that travel, a ring with nothing of VMBus
 * in it) and against what one would use without it (pipe, socket, ZeroMQ). Both ends copy the
 * payload, poll, and are pinned to two cores.
 */
#include "bench.h"
#include "ring/ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef HAVE_ZMQ
#include <zmq.h>
#endif

#define RING_BYTES 65536u
#define LINE       64u
#define PAYLOAD    16384u

static uint8_t source[PAYLOAD] __attribute__((aligned(64)));
static uint8_t target[PAYLOAD] __attribute__((aligned(64)));

/* Control page and data, which is mapped twice in a row. */
static struct ring_memory ring_map(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	uint8_t *at;

	if (fd < 0 || ftruncate(fd, WIRE_PAGE_SIZE + RING_BYTES) != 0)
		abort();
	at = mmap(NULL, WIRE_PAGE_SIZE + 2 * RING_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	          0);
	if (at == MAP_FAILED ||
	    mmap(at, WIRE_PAGE_SIZE + RING_BYTES, PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED ||
	    mmap(at + WIRE_PAGE_SIZE + RING_BYTES, RING_BYTES, PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, WIRE_PAGE_SIZE) == MAP_FAILED)
		abort();
	close(fd);
	return (struct ring_memory){ (void *)at, at + WIRE_PAGE_SIZE, NULL, RING_BYTES };
}

static void ring_unmap(const struct ring_memory *memory)
{
	munmap(memory->control, WIRE_PAGE_SIZE + 2 * RING_BYTES);
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
	struct ring_span span = { source, s->size };

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
		ring_read_copy(&s->r, &packet, packet.payload_offset, target, s->size);
		bench_use(target);
		ring_read_advance(&s->r, &packet);
	}
}

static double ring_stream(uint64_t count, uint32_t size, enum publishing publishing)
{
	static struct ring_stream s;
	struct ring_memory memory = ring_map();
	double seconds;

	s.count = count;
	s.size = size;
	s.publishing = publishing;
	if (ring_writer_init(&s.w, &memory) != RING_OK ||
	    ring_reader_init(&s.r, &memory) != RING_OK)
		abort();
	ring_read_mask(&s.r);
	seconds = bench_pair(ring_stream_write, ring_stream_read, &s);
	ring_unmap(&memory);
	return seconds;
}

static double ring_batched(uint64_t count, uint32_t size)
{
	return ring_stream(count, size, BATCHED);
}

static double ring_commit_each(uint64_t count, uint32_t size)
{
	return ring_stream(count, size, COMMIT_EACH);
}

static double ring_publish_each(uint64_t count, uint32_t size)
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
	struct ring_span span = { source, size };

	packet.transaction_id = id;
	if (ring_write(&s->w, packet, &span, 1) != RING_OK)
		abort();
	ring_write_publish(&s->w);
}

static void ring_echo_receive(struct ring_stream *s, uint64_t id, uint32_t size)
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
		ring_echo_receive(&e->back, i, e->size);
	}
}

static void ring_echo_answer(void *arg)
{
	struct ring_echo *e = arg;

	for (uint64_t i = 0; i < e->count; i++) {
		ring_echo_receive(&e->there, i, e->size);
		ring_echo_send(&e->back, i, e->size);
	}
}

static double ring_echo(uint64_t count, uint32_t size)
{
	static struct ring_echo e;
	struct ring_memory there = ring_map(), back = ring_map();
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
	ring_unmap(&there);
	ring_unmap(&back);
	return seconds;
}

/* ---- cache lines alone: one for the flag, one for the data, each way ---- */

struct lines {
	uint64_t count;
	struct {
		uint64_t flag __attribute__((aligned(128)));
		uint8_t data[LINE] __attribute__((aligned(128)));
	} there, back;
};

static void lines_ask(void *arg)
{
	struct lines *l = arg;

	for (uint64_t i = 1; i <= l->count; i++) {
		memcpy(l->there.data, source, LINE);
		__atomic_store_n(&l->there.flag, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&l->back.flag, __ATOMIC_ACQUIRE) != i)
			bench_pause();
		memcpy(target, l->back.data, LINE);
		bench_use(target);
	}
}

static void lines_answer(void *arg)
{
	struct lines *l = arg;
	static uint8_t copy[LINE];

	for (uint64_t i = 1; i <= l->count; i++) {
		while (__atomic_load_n(&l->there.flag, __ATOMIC_ACQUIRE) != i)
			bench_pause();
		memcpy(copy, l->there.data, LINE);
		bench_use(copy);
		memcpy(l->back.data, copy, LINE);
		__atomic_store_n(&l->back.flag, i, __ATOMIC_RELEASE);
	}
}

static double lines_echo(uint64_t count, uint32_t size)
{
	static struct lines l;

	memset(&l, 0, sizeof(l));
	l.count = count;
	return bench_pair(lines_ask, lines_answer, &l);
}

/* ---- a ring of slots of one line: no header, no length, no check, no signal ---- */

#define SLOTS        (RING_BYTES / LINE)
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
	for (uint32_t n = 0; n < size; n += LINE) {
		if (n + RING_AHEAD < room)
			ring_prefetch_write(at + n + RING_AHEAD);
		memcpy(at + n, source + n, LINE);
	}
}

static void slots_take(const uint8_t *at, uint32_t size, uint64_t there)
{
	for (uint32_t n = 0; n < size; n += LINE) {
		if (n + RING_AHEAD < there)
			ring_prefetch_read(at + n + RING_AHEAD);
		memcpy(target + n, at + n, LINE);
	}
	bench_use(target);
}

static void slots_write(void *arg)
{
	struct slots *s = arg;
	uint32_t need = s->size / LINE;
	uint64_t next = 0, shown = 0, read = 0;

	for (uint64_t i = 0; i < s->count; i++) {
		while (SLOTS - (next - read) < need) {
			if (shown != next)
				__atomic_store_n(&s->written, shown = next, __ATOMIC_RELEASE);
			read = __atomic_load_n(&s->read, __ATOMIC_ACQUIRE);
			if (SLOTS - (next - read) < need)
				bench_pause();
		}
		slots_put(s->data + next % SLOTS * LINE, s->size, (SLOTS - (next - read)) * LINE);
		next += need;
		if (next - shown >= SLOT_PUBLISH)
			__atomic_store_n(&s->written, shown = next, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&s->written, next, __ATOMIC_RELEASE);
}

static void slots_read(void *arg)
{
	struct slots *s = arg;
	uint32_t need = s->size / LINE;
	uint64_t next = 0, shown = 0, written = 0;

	for (uint64_t i = 0; i < s->count; i++) {
		while (written - next < need) {
			if (shown != next)
				__atomic_store_n(&s->read, shown = next, __ATOMIC_RELEASE);
			written = __atomic_load_n(&s->written, __ATOMIC_ACQUIRE);
			if (written - next < need)
				bench_pause();
		}
		slots_take(s->data + next % SLOTS * LINE, s->size, (written - next) * LINE);
		next += need;
		if (next - shown >= SLOTS / 4)
			__atomic_store_n(&s->read, shown = next, __ATOMIC_RELEASE);
	}
}

static double slots_stream(uint64_t count, uint32_t size)
{
	static struct slots s;
	struct ring_memory memory = ring_map(); /* mirrored too: no wrap code either */
	double seconds;

	memset(&s, 0, sizeof(s));
	s.data = memory.data;
	s.count = count;
	s.size = size;
	seconds = bench_pair(slots_write, slots_read, &s);
	ring_unmap(&memory);
	return seconds;
}

/* ---- what the system offers ---- */

struct pipe_stream {
	int in, out;
	uint64_t count;
	uint32_t size;
};

static void fd_write(void *arg)
{
	struct pipe_stream *p = arg;

	for (uint64_t i = 0; i < p->count; i++)
		if (write(p->in, source, p->size) != (ssize_t)p->size)
			abort();
}

static void fd_read(void *arg)
{
	struct pipe_stream *p = arg;

	for (uint64_t i = 0; i < p->count; i++)
		if (read(p->out, target, p->size) != (ssize_t)p->size)
			abort();
}

static double fd_stream(const int fds[2], uint64_t count, uint32_t size)
{
	struct pipe_stream p = { .in = fds[1], .out = fds[0], .count = count, .size = size };
	double seconds = bench_pair(fd_write, fd_read, &p);

	close(fds[0]);
	close(fds[1]);
	return seconds;
}

static double pipe_stream(uint64_t count, uint32_t size)
{
	int fds[2];

	if (pipe(fds) != 0)
		abort();
	return fd_stream(fds, count, size);
}

static double seqpacket_stream(uint64_t count, uint32_t size)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
		abort();
	return fd_stream(fds, count, size);
}

#ifdef HAVE_ZMQ
struct zmq_stream {
	void *push, *pull;
	uint64_t count;
	uint32_t size;
};

static void zmq_write(void *arg)
{
	struct zmq_stream *z = arg;

	for (uint64_t i = 0; i < z->count; i++)
		if (zmq_send(z->push, source, z->size, 0) < 0)
			abort();
}

static void zmq_read(void *arg)
{
	struct zmq_stream *z = arg;

	for (uint64_t i = 0; i < z->count; i++)
		if (zmq_recv(z->pull, target, PAYLOAD, 0) != (int)z->size)
			abort();
}

static double zmq_stream(uint64_t count, uint32_t size)
{
	struct zmq_stream z = { .count = count, .size = size };
	void *sender = zmq_ctx_new(), *receiver = zmq_ctx_new();
	char directory[] = "/tmp/bench-ring-XXXXXX", address[64], *path = address + 6;
	double seconds;

	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(address, sizeof(address), "ipc://%s/zmq", directory);
	z.push = zmq_socket(sender, ZMQ_PUSH);
	z.pull = zmq_socket(receiver, ZMQ_PULL);
	if (zmq_bind(z.pull, address) != 0 || zmq_connect(z.push, address) != 0)
		abort();
	seconds = bench_pair(zmq_write, zmq_read, &z);
	zmq_close(z.push);
	zmq_close(z.pull);
	zmq_ctx_term(sender);
	zmq_ctx_term(receiver);
	unlink(path);
	rmdir(directory);
	return seconds;
}
#endif

/* Short runs, many of them: one that was disturbed is then an outlier and not all there is. */
#define SMALL 1000000ull   /* packets of a run of 64 B */
#define BYTES 100000000ull /* that a run of a larger size moves */

static struct bench_row rows[] = {
	{ "cache lines, round trip", 64, BENCH_TIME, lines_echo, 20000, NULL, 0 },
	{ "ring, round trip", 64, BENCH_TIME, ring_echo, 20000, "cache lines, round trip", 1.3 },
	{ "bare slots", 64, BENCH_RATE, slots_stream, SMALL, NULL, 0 },
	{ "ring, batched", 64, BENCH_RATE, ring_batched, SMALL, "bare slots", 0.65 },
	{ "ring, each shown", 64, BENCH_RATE, ring_commit_each, SMALL / 2, "bare slots", 0.25 },
	{ "ring, each shown, signal tested", 64, BENCH_RATE, ring_publish_each, SMALL / 2,
	  "bare slots", 0 },
	{ "bare slots", 1024, BENCH_RATE, slots_stream, BYTES / 1024, NULL, 0 },
	{ "ring, batched", 1024, BENCH_RATE, ring_batched, BYTES / 1024, "bare slots", 0.9 },
	{ "ring, each shown", 1024, BENCH_RATE, ring_commit_each, BYTES / 1024, "bare slots", 0 },
	{ "bare slots", 4096, BENCH_RATE, slots_stream, BYTES / 4096, NULL, 0 },
	{ "ring, batched", 4096, BENCH_RATE, ring_batched, BYTES / 4096, "bare slots", 0.9 },
	{ "bare slots", 16384, BENCH_RATE, slots_stream, BYTES / 16384, NULL, 0 },
	{ "ring, batched", 16384, BENCH_RATE, ring_batched, BYTES / 16384, "bare slots", 0.85 },
	{ "pipe", 64, BENCH_RATE, pipe_stream, 20000, NULL, 0 },
	{ "seqpacket socket", 64, BENCH_RATE, seqpacket_stream, 20000, NULL, 0 },
#ifdef HAVE_ZMQ
	{ "ZeroMQ ipc", 64, BENCH_RATE, zmq_stream, 20000, NULL, 0 },
#endif
	{ "ring, batched (again)", 64, BENCH_RATE, ring_batched, SMALL, "pipe", 20 },
	{ "ring, batched (again)", 64, BENCH_RATE, ring_batched, SMALL, "seqpacket socket", 20 },
#ifdef HAVE_ZMQ
	{ "ring, batched (again)", 64, BENCH_RATE, ring_batched, SMALL, "ZeroMQ ipc", 20 },
#endif
};

int main(int argc, char **argv)
{
	memset(source, 0x5a, sizeof(source));
	return bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
}
