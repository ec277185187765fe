/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An arbitrary host at the network driver's pure half. Whatever it answers and sends: each frame
 * and each question ends once, none is lost, no more are at the host than there are places, what is
 * found in the receive buffer lies in it, and what is written to the send buffer lies in that,
 * under the address sanitizer.
 *
 * Input: one byte of options, then records of one byte of kind, one of id, one of length, and so
 * many bytes. Kinds: a completion, a packet with ranges (bytes: how many of them, them, and a
 * message for the end of the receive buffer, of which another range is), a frame, a question, a
 * packet could not be sent, will not be sent, is lost, the host says something, the channel closes,
 * opens, the driver stops.
 */
#include "net/netvsc_machine.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH     3u
#define FRAMES    6u
#define QUESTIONS 3u
#define RECEIVE   4096u
#define SEND      4096u

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

struct guest {
	struct netvsc_machine machine;
	struct netvsc_slot slots[DEPTH];
	struct netvsc_frame frames[FRAMES];
	struct rndis_client_request questions[QUESTIONS];
	bool frame_busy[FRAMES], question_busy[QUESTIONS];
	bool sent[DEPTH + 2]; /* at the host */
	uint8_t *receive, *send, *control, *data;
	uint32_t sum;
};

static void take_ended(struct guest *g)
{
	struct rndis_client_request *q;
	struct netvsc_frame *f;

	while ((f = netvsc_machine_sent(&g->machine))) {
		CHECK(g->frame_busy[f - g->frames]);
		g->frame_busy[f - g->frames] = false;
	}
	while ((q = netvsc_machine_answered(&g->machine))) {
		CHECK(g->question_busy[q - g->questions] && q->length <= RNDIS_CLIENT_DATA);
		g->question_busy[q - g->questions] = false;
	}
}

static void send_all(struct guest *g)
{
	struct netvsc_output out;

	while (netvsc_machine_next(&g->machine, &out)) {
		CHECK(out.id < DEPTH + 2 && !g->sent[out.id]);
		CHECK(out.size == sizeof(out.message));
		if (out.id < DEPTH)
			CHECK(!out.data ||
			      (out.data == g->data && out.data_length <= NETVSC_DEFAULT_FRAME + 4));
		if (out.id == DEPTH + 1)
			CHECK(out.data == g->control && out.data_length <= NETVSC_CONTROL_BYTES);
		g->sent[out.id] = out.completion;
	}
}

static bool was_sent(struct guest *g, uint8_t id)
{
	bool was = id < DEPTH + 2 && g->sent[id];

	if (was)
		g->sent[id] = false;
	return was;
}

static void send_frame(struct guest *g, uint8_t what)
{
	uint32_t i = what % FRAMES;
	struct netvsc_frame *f = &g->frames[i];

	if (g->frame_busy[i])
		return;
	g->frame_busy[i] = true;
	f->data = g->data;
	f->by_reference = what & 0x80;
	f->length = what & 0x40   ? NETVSC_DEFAULT_FRAME
	            : what & 0x20 ? 60
	            : what & 0x10 ? 0xffff
	                          : 9;
	netvsc_machine_send(&g->machine, f);
}

static void ask(struct guest *g, uint8_t what, const uint8_t *bytes, uint32_t size)
{
	uint32_t i = what % QUESTIONS;
	struct rndis_client_request *q = &g->questions[i];

	if (g->question_busy[i])
		return;
	g->question_busy[i] = true;
	q->type = what & 0x80 ? RNDIS_SET : RNDIS_QUERY;
	q->oid = OID_GEN_LINK_SPEED;
	q->length = size;
	memcpy(q->data, bytes, size < sizeof(q->data) ? size : sizeof(q->data));
	netvsc_machine_ask(&g->machine, q);
}

static void receive(struct guest *g, uint8_t how, const uint8_t *bytes, uint32_t size)
{
	static const struct nvsp_message packet = { .type = NVSP_RNDIS_PACKET };
	uint32_t count = size ? bytes[0] % 4 : 0, at = size ? 1 : 0, message, i;
	struct netvsc_range last, *ranges;
	struct rndis_client_frame frame;
	struct netvsc_incoming in;

	if (size - at < count * sizeof(*ranges))
		count = 0;
	message = size - at - count * (uint32_t)sizeof(*ranges);
	ranges = malloc((count + 1) * sizeof(*ranges));
	memcpy(ranges, bytes + at, count * sizeof(*ranges));
	memcpy(g->receive + RECEIVE - message, bytes + size - message, message);
	last = (struct netvsc_range){ message, RECEIVE - message };
	memcpy(ranges + count, &last, sizeof(last));
	if (netvsc_machine_received(&g->machine, &in,
	                            how & 1 ? how : (uint16_t)NETVSC_RECEIVE_BUFFER_ID, ranges,
	                            count + 1, &packet, how & 2 ? how & 7 : 8)) {
		while (netvsc_machine_frame(&g->machine, &in, &frame)) {
			CHECK(frame.data >= g->receive && frame.data <= g->receive + RECEIVE);
			CHECK(frame.length <= (size_t)(g->receive + RECEIVE - frame.data));
			for (i = 0; i < frame.length; i++)
				g->sum += frame.data[i]; /* each byte can be read */
		}
	}
	free(ranges);
}

static void close_channel(struct guest *g)
{
	uint32_t id;

	netvsc_machine_close(&g->machine);
	for (id = 0; id < DEPTH + 2; id++) {
		netvsc_machine_lost(&g->machine, id);
		g->sent[id] = false;
	}
}

static void record(struct guest *g, uint8_t kind, uint8_t id, const uint8_t *bytes, uint32_t size)
{
	struct netvsc_machine *m = &g->machine;

	switch (kind % 11) {
	case 0:
		if (netvsc_machine_completed(m, id & 0x80 ? ~(uint64_t)id : id, bytes, size))
			CHECK(was_sent(g, id));
		else
			was_sent(g, id == DEPTH ? id : 0xff);
		break;
	case 1:
		receive(g, id, bytes, size);
		break;
	case 2:
		send_frame(g, id);
		break;
	case 3:
		ask(g, id, bytes, size);
		break;
	case 4: /* the caller says so, of what was sent alone */
		if (was_sent(g, id))
			netvsc_machine_put_back(m, id);
		break;
	case 5:
		if (was_sent(g, id))
			netvsc_machine_not_sent(m, id);
		break;
	case 6:
		if (id < DEPTH)
			CHECK(netvsc_machine_lost(m, id) == was_sent(g, id));
		break;
	case 7:
		netvsc_machine_said(m, bytes, size);
		break;
	case 8:
		close_channel(g);
		break;
	case 9:
		if (m->state == NETVSC_CLOSED)
			netvsc_machine_open(m, 1, 2);
		break;
	default:
		netvsc_machine_stop(m);
	}
}

static struct guest *make(uint8_t how)
{
	struct netvsc_machine_options options = { .receive_size = RECEIVE, .send_size = SEND };
	struct guest *g = calloc(1, sizeof(*g));

	options.version_max = how & 1 ? NVSP_VERSION_2 : 0;
	options.receive = g->receive = calloc(1, RECEIVE);
	options.send = g->send = calloc(1, SEND);
	options.control = g->control = calloc(1, NETVSC_CONTROL_BYTES);
	g->data = calloc(1, NETVSC_DEFAULT_FRAME);
	netvsc_machine_init(&g->machine, &options, g->slots, DEPTH);
	netvsc_machine_open(&g->machine, 1, 2);
	return g;
}

static void end(struct guest *g)
{
	uint32_t i;

	close_channel(g);
	take_ended(g);
	for (i = 0; i < FRAMES; i++)
		CHECK(!g->frame_busy[i]);
	for (i = 0; i < QUESTIONS; i++)
		CHECK(!g->question_busy[i]);
	free(g->receive);
	free(g->send);
	free(g->control);
	free(g->data);
	free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest *g;

	if (!size)
		return 0;
	g = make(data[0]);
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
	end(g);
	return 0;
}
