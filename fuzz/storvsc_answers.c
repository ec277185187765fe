/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An arbitrary host at the SCSI driver's pure half. Whatever it answers, to what and how often:
 * each request ends once, none is lost, no more are at the host than there are places, and nothing
 * is read past an answer's end, under the address sanitizer.
 *
 * Input: one byte of options, then records of one byte of kind, one of id, one of length, and so
 * many bytes. Kinds: an answer, a request, time passes, a packet is lost, could not be sent, will
 * not be sent, the host says something, the channel closes, opens, units are listed, one is
 * examined.
 */
#include "scsi/storvsc_machine.h"
#include "scsi/storvsc_probe.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH    3u
#define REQUESTS 8u

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static const struct storvsc_disk disk = { .size = 1 << 20, .block_size = 512, .block_shift = 9 };

struct guest {
	struct storvsc_machine machine;
	struct storvsc_slot slots[DEPTH];
	struct storvsc_request requests[REQUESTS];
	bool busy[REQUESTS];
	bool sent[DEPTH + 1]; /* at the host */
};

static void take_ended(struct guest *g)
{
	struct storvsc_request *r, *next;

	for (r = storvsc_machine_ended(&g->machine); r; r = next) {
		next = r->next;
		CHECK(g->busy[r - g->requests]);
		CHECK(r->result < STORVSC_RESULTS && r->transferred <= r->length);
		CHECK(r->result == STORVSC_RESULT_DONE || !r->transferred);
		g->busy[r - g->requests] = false;
	}
}

static void send_all(struct guest *g)
{
	struct storvsc_output out;

	while (storvsc_machine_next(&g->machine, &out)) {
		CHECK(out.id <= DEPTH && !g->sent[out.id]);
		CHECK(out.size == sizeof(out.packet) || out.size == STORVSC_PACKET_SIZE_OLD);
		CHECK(!out.request || out.request->length <= g->machine.max_transfer);
		g->sent[out.id] = true;
		if (g->machine.state == STORVSC_READY)
			CHECK(g->busy[g->slots[out.id].request - g->requests]);
	}
}

static void submit(struct guest *g, uint8_t what)
{
	uint32_t i = what % REQUESTS;
	struct storvsc_request *r = &g->requests[i];

	if (g->busy[i])
		return;
	g->busy[i] = true;
	r->once = what & 0x80;
	if (what & 0x40)
		storvsc_request_write(r, &disk, 0, what & 0x20 ? 1 << 19 : 512);
	else if (what & 0x20)
		storvsc_request_flush(r, &disk);
	else
		storvsc_request_read(r, &disk, 4096, 4096);
	storvsc_machine_submit(&g->machine, r);
}

static void close_channel(struct guest *g)
{
	uint32_t id;

	storvsc_machine_close(&g->machine);
	for (id = 0; id <= DEPTH; id++) {
		storvsc_machine_lost(&g->machine, id);
		g->sent[id] = false;
	}
}

static bool was_sent(struct guest *g, uint8_t id)
{
	bool was = id <= DEPTH && g->sent[id];

	if (was)
		g->sent[id] = false;
	return was;
}

static void list(const uint8_t *bytes, uint32_t size, uint8_t lie)
{
	static uint8_t data[STORVSC_SEARCH_BYTES];
	struct storvsc_address *found = malloc(4 * sizeof(*found));
	struct storvsc_request r;
	struct storvsc_search s;

	memset(&r, 0, sizeof(r));
	memset(data, 0, sizeof(data));
	memcpy(data, bytes, size);
	storvsc_search_begin(&s, data, found, 4);
	while (storvsc_search_next(&s, &r)) {
		r.result = (enum storvsc_result)(lie & 0x80 ? STORVSC_RESULT_DONE
		                                            : lie % STORVSC_RESULTS);
		r.transferred = lie & 0x40 ? UINT32_MAX : lie & 0x20 ? 4096 : size;
		storvsc_search_take(&s, &r);
		CHECK(s.count <= STORVSC_TARGETS * (STORVSC_SEARCH_BYTES / 8 - 1));
	}
	free(found);
}

static void check_disk(const struct storvsc_disk *d)
{
	CHECK(d->block_size >= 512 && d->block_size <= 65536);
	CHECK(d->block_size == 1u << d->block_shift && d->size && !(d->size % d->block_size));
	CHECK(d->physical_block_size >= d->block_size);
	CHECK(!memchr(d->serial, '\x1b', sizeof(d->serial)));
	CHECK(memchr(d->serial, 0, sizeof(d->serial)) && memchr(d->vendor, 0, sizeof(d->vendor)) &&
	      memchr(d->product, 0, sizeof(d->product)) &&
	      memchr(d->revision, 0, sizeof(d->revision)));
}

/* One byte says what a command comes to, then come 63 of its data. */
static void examine(const uint8_t *bytes, uint32_t size)
{
	uint8_t *data = malloc(STORVSC_EXAM_BYTES);
	struct storvsc_request r;
	struct storvsc_disk d;
	struct storvsc_exam e;
	uint32_t asked = 0;

	memset(&r, 0, sizeof(r));
	storvsc_exam_begin(&e, data, (struct storvsc_address){ 0, 1 }, &d);
	while (storvsc_exam_next(&e, &r)) {
		uint32_t n = size < STORVSC_EXAM_BYTES ? size : STORVSC_EXAM_BYTES;

		CHECK(++asked <= STORVSC_EXAM_OVER && r.length <= STORVSC_EXAM_BYTES);
		r.result = (enum storvsc_result)(n ? bytes[0] % STORVSC_RESULTS : 0);
		r.transferred = n && bytes[0] & 0x80 ? UINT32_MAX : n;
		memcpy(data, bytes, n);
		storvsc_exam_take(&e, &r);
		bytes += n;
		size -= n;
	}
	if (e.result == STORVSC_RESULT_DONE)
		check_disk(&d);
	free(data);
}

static void record(struct guest *g, uint8_t kind, uint8_t id, const uint8_t *bytes, uint32_t size)
{
	struct storvsc_machine *m = &g->machine;

	switch (kind % 11) {
	case 0:
		if (storvsc_machine_completed(m, id & 0x80 ? ~(uint64_t)id : id, bytes, size))
			CHECK(was_sent(g, id));
		else
			was_sent(g, id == DEPTH ? id : 0xff);
		break;
	case 1:
		submit(g, id);
		break;
	case 2:
		storvsc_machine_later(m);
		break;
	case 3:
		CHECK(storvsc_machine_lost(m, id) == (id < DEPTH && was_sent(g, id)));
		break;
	case 4:
	case 5: /* of what was sent alone: it is the caller that says so */
		if (!was_sent(g, id))
			break;
		if (kind % 11 == 4)
			storvsc_machine_put_back(m, id);
		else
			storvsc_machine_not_sent(m, id);
		break;
	case 6:
		storvsc_machine_said(bytes, size);
		break;
	case 7:
		close_channel(g);
		break;
	case 8:
		if (m->state == STORVSC_CLOSED)
			storvsc_machine_open(m);
		break;
	case 9:
		list(bytes, size, id);
		break;
	default:
		examine(bytes, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct storvsc_machine_options options = { .max_transfer = 65536 };
	struct guest *g;
	uint32_t i;

	if (!size)
		return 0;
	g = calloc(1, sizeof(*g));
	options.version_max = data[0] & 1 ? STORVSC_VERSION_WIN7 : 0;
	options.subchannels = data[0] >> 4;
	storvsc_machine_init(&g->machine, &options, g->slots, DEPTH);
	storvsc_machine_open(&g->machine);
	data++;
	size--;
	send_all(g);
	while (size >= 3) {
		uint8_t kind = data[0], id = data[1], *copy;
		uint32_t length = data[2];

		data += 3;
		size -= 3;
		if (length > size)
			length = (uint32_t)size;
		copy = malloc(length ? length : 1);
		memcpy(copy, data, length);
		record(g, kind, id, copy, length);
		send_all(g);
		take_ended(g);
		free(copy);
		data += length;
		size -= length;
	}
	close_channel(g);
	take_ended(g);
	for (i = 0; i < REQUESTS; i++)
		CHECK(!g->busy[i]);
	free(g);
	return 0;
}
