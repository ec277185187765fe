/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two threads stream packets and sleep on signals alone. If one wake-up were lost, both would sleep
 * for ever; a time limit says so.
 */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

#define PACKETS  60000u
#define LIMIT_MS 20000

struct stream {
	struct ring_fixture f;
	struct ring_writer w;
	struct ring_reader r;
	int to_reader, to_writer; /* the signals */
	uint32_t batch;           /* packets a publish */
	bool poll;                /* the reader masks while it reads */
	uint64_t signals_to_reader, signals_to_writer;
	_Atomic bool lost;
};

static void signal_send(int fd, uint64_t *count)
{
	uint64_t one = 1;

	(*count)++;
	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* False: nobody came. */
static bool signal_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	return poll(&p, 1, LIMIT_MS) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static uint32_t size_of(uint32_t i)
{
	return i % 7 == 0 ? 900 + i % 131 : i % 61;
}

static uint8_t byte_of(uint32_t i)
{
	return (uint8_t)(i ^ i >> 8);
}

static void *write_all(void *arg)
{
	struct stream *s = arg;
	uint8_t payload[1100];

	for (uint32_t i = 0; i < PACKETS && !s->lost;) {
		uint32_t size = size_of(i);
		enum ring_status status;
		bool signal, fits;

		memset(payload, byte_of(i), size);
		status = ring_fixture_write(&s->w, i, payload, size);
		if (status == RING_OK) {
			i++;
			if (i % s->batch == 0 && ring_write_publish(&s->w))
				signal_send(s->to_reader, &s->signals_to_reader);
			continue;
		}
		if (status != RING_FULL)
			abort(); /* not the thread for cmocka's asserts */
		fits = ring_write_wait(&s->w, 16 + wire_align8(size), &signal);
		if (signal)
			signal_send(s->to_reader, &s->signals_to_reader);
		if (!fits) {
			s->lost = s->lost || !signal_wait(s->to_writer);
			ring_write_wait_end(&s->w);
		}
	}
	if (ring_write_publish(&s->w))
		signal_send(s->to_reader, &s->signals_to_reader);
	return NULL;
}

static bool payload_right(const uint8_t *payload, uint32_t i)
{
	for (uint32_t n = 0; n < size_of(i); n++)
		if (payload[n] != byte_of(i))
			return false;
	return true;
}

/* Drains the ring. The number of the next packet. */
static uint32_t read_some(struct stream *s, uint32_t i)
{
	struct ring_packet packet = { 0 };
	uint8_t payload[1100];

	while (ring_read_next(&s->r, &packet) == RING_OK) {
		ring_read_copy(&s->r, &packet, packet.payload_offset, payload,
		               packet.size - packet.payload_offset);
		assert_int_equal(packet.transaction_id, i);
		assert_int_equal(packet.size, 16 + wire_align8(size_of(i)));
		assert_true(payload_right(payload, i));
		ring_read_advance(&s->r, &packet);
		i++;
	}
	return i;
}

static void read_all(struct stream *s)
{
	uint32_t i = 0;

	while (i < PACKETS && !s->lost) {
		bool signal, more;

		if (s->poll)
			ring_read_mask(&s->r);
		i = read_some(s, i);
		more = ring_read_unmask(&s->r, &signal);
		if (signal)
			signal_send(s->to_writer, &s->signals_to_writer);
		if (!more && i < PACKETS)
			s->lost = s->lost || !signal_wait(s->to_reader);
	}
}

static void run(enum ring_mode mode, uint32_t size, uint32_t batch, bool poll)
{
	struct stream s = { .batch = batch, .poll = poll };
	pthread_t thread;

	ring_fixture_open(&s.f, mode, size);
	ring_fixture_start(&s.f, &s.w, &s.r, size - 8);
	s.to_reader = eventfd(0, EFD_CLOEXEC);
	s.to_writer = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pthread_create(&thread, NULL, write_all, &s), 0);
	read_all(&s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(s.lost);
	print_message("# %u packets, batch %u: %llu signals to the reader, %llu to the writer\n",
	              PACKETS, batch, (unsigned long long)s.signals_to_reader,
	              (unsigned long long)s.signals_to_writer);
	close(s.to_reader);
	close(s.to_writer);
	ring_fixture_close(&s.f);
}

static void each_published(void **state)
{
	run(MIRRORED, 4096, 1, false);
}

static void batched(void **state)
{
	run(MIRRORED, 16384, 16, true);
}

static void big_batches_in_a_small_ring(void **state)
{
	run(MIRRORED, 4096, 1000, true);
}

static void page_list(void **state)
{
	run(PAGE_LIST, 8192, 3, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_published),
		cmocka_unit_test(batched),
		cmocka_unit_test(big_batches_in_a_small_ring),
		cmocka_unit_test(page_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
