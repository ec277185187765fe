/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The guest kit, as it is installed, with a hostile host: messages, and what it writes in the
 * rings.
 *
 * Input: records of an op byte, a size byte and that many bytes. Some ops are the host's, some what
 * the guest does in between. Whatever comes, each request ends once, no channel is named after it
 * was removed, and in the end all of the kit's memory is there again.
 */

#include "vmbus_guest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) ((condition) ? (void)0 : abort())

#define MEMORY     (128u << 10)
#define RING_PAGES 2u /* with the control page */
#define CHANNELS   8u
#define REQUESTS   16u

enum op {
	OP_MESSAGE,  /* as it is */
	OP_ANSWER,   /* to the last message that can be answered, well-formed but for its status */
	OP_OFFER,    /* by id */
	OP_RESCIND,  /* by id */
	OP_RING,     /* bytes into the ring that the guest reads, at an offset */
	OP_INDEX,    /* a control word of either ring */
	OP_PACKET,   /* a packet behind the write index, its length and footer put right */
	OP_COMPLETE, /* a completion for an id that the guest has asked under */
	OP_POLL,
	OP_OPEN,
	OP_CLOSE,
	OP_SEND,
	OP_SHARE,
	OP_UNSHARE,
	OP_SLEEP,
	OP_UNLOAD,
	OP_GONE, /* the host, and it comes again */
	OP_BUSY,
	OPS
};

static struct {
	struct vg *vg;
	struct vg_channel *channel;
	bool opened;
	uint32_t gpadl;
	bool asked[REQUESTS];
} channels[CHANNELS];

static struct vg *vg;
static bool busy;
static uint8_t last[240]; /* that the guest said, and the host can answer */
static _Alignas(64) uint8_t memory[MEMORY];
static _Alignas(4096) uint8_t rings[CHANNELS][2 * RING_PAGES][4096];
static char cookies[CHANNELS][REQUESTS];

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t page_number(void *context, const void *address)
{
	return (uintptr_t)address / 4096;
}

static bool post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	must(size >= 8 && size <= 240);
	if (busy)
		return false;
	memset(last, 0, sizeof(last));
	memcpy(last, message, size);
	return true;
}

static void signal_host(void *context, uint32_t connection_id)
{
}

static unsigned which(const struct vg_channel *channel)
{
	for (unsigned i = 0; i < CHANNELS; i++)
		if (channels[i].channel == channel)
			return i;
	abort();
}

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		if (channels[i].channel)
			continue;
		memset(&channels[i], 0, sizeof(channels[i]));
		channels[i].channel = channel;
		return;
	}
}

static void on_removed(void *context, struct vg_channel *channel)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		if (channels[i].channel != channel)
			continue;
		must(!channels[i].opened);
		channels[i].channel = NULL;
	}
}

static void on_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	uint8_t sum = 0;

	must(packet->size <= 256 && packet->range_count <= 4);
	for (uint32_t i = 0; i < packet->size; i++)
		sum ^= ((const uint8_t *)packet->payload)[i];
	for (uint32_t i = 0; i < packet->range_count; i++)
		must((uint64_t)packet->ranges[i].offset + packet->ranges[i].size <= 65536);
	if (packet->answer || sum == 1)
		vg_complete(channel, packet->id, packet->payload, packet->size);
}

static void on_completed(void *context, struct vg_channel *channel, void *cookie,
                         enum vg_status status, const void *answer, uint32_t size)
{
	unsigned i = which(channel);
	size_t request = (size_t)((char *)cookie - cookies[i]);

	must(request < REQUESTS && channels[i].asked[request] && size <= 256);
	channels[i].asked[request] = false;
}

static void on_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	unsigned i = which(channel);

	must(channels[i].opened);
	channels[i].opened = false;
	for (unsigned n = 0; n < REQUESTS; n++)
		must(!channels[i].asked[n]);
}

static const struct vg_platform platform = {
	.page_number = page_number,
	.post = post,
	.signal = signal_host,
};
static const struct vg_events events = { .offered = on_offered, .removed = on_removed };

static void make_contact(void)
{
	struct vg_contact contact = { .message_sint = 2 };

	vg_connect(vg, &contact);
}

/* ---- the guest ---- */

static void open_channel(unsigned i, bool pipe)
{
	struct vg_open how = {
		.events = { .packet = on_packet, .completed = on_completed, .closed = on_closed },
		.rings = rings[i],
		.out_pages = RING_PAGES,
		.in_pages = RING_PAGES,
		.payload_max = 256,
		.requests_max = REQUESTS,
		.ranges_max = 2,
		.external_max = 8192,
		.transfers_max = 4,
		.transfer_size = 65536,
		.pipe = pipe,
		.bare_ids = i % 2,
	};

	if (vg_open(channels[i].channel, &how) == VG_OK)
		channels[i].opened = true;
}

static void send_request(unsigned i, const uint8_t *data, size_t size)
{
	struct vg_range range = { memory, size ? 1u + data[0] * 32u : 1 };
	struct vg_send send = { .payload = data, .size = (uint32_t)size };

	if (size % 3 == 0)
		send.range_count = 1, send.ranges = &range;
	for (unsigned n = 0; n < REQUESTS && size % 4 != 3; n++) {
		if (channels[i].asked[n])
			continue;
		send.cookie = &cookies[i][n];
		channels[i].asked[n] = true;
		if (vg_send(channels[i].channel, &send) != VG_OK)
			channels[i].asked[n] = false;
		return;
	}
	vg_send(channels[i].channel, &send);
}

/* ---- the host ---- */

static void say(const void *bytes, size_t size)
{
	vg_message(vg, bytes, (uint32_t)(size < 240 ? size : 240));
}

/* GPADL_HEADER, OPEN_CHANNEL and so on; channel.c of the wire says what is where. */
static void answer(uint8_t status)
{
	uint32_t message[60] = { 0 };

	switch (word(last)) {
	case 14: /* INITIATE_CONTACT: VERSION_RESPONSE */
		message[0] = 15;
		message[2] = !(status & 1);
		message[3] = 7;
		say(message, word(last + 8) >= 6u << 16 ? 20 : 16);
		break;
	case 5: /* OPEN_CHANNEL: its result */
		message[0] = 6;
		message[2] = word(last + 8);
		message[3] = word(last + 12);
		message[4] = status & 1 ? 0xc0000001 : 0;
		say(message, 20);
		break;
	case 8:
	case 9: /* a GPADL's header, or its body: created */
		message[0] = 10;
		message[2] = word(last) == 8 ? word(last + 8) : status;
		message[3] = word(last + 12);
		message[4] = status & 1 ? 0xc0000001 : 0;
		say(message, 20);
		break;
	case 11: /* GPADL_TEARDOWN: torn down */
		message[0] = 12;
		message[2] = word(last + 12);
		say(message, 12);
		break;
	case 16: /* UNLOAD */
		message[0] = 17;
		say(message, 8);
		break;
	}
}

static void offer(uint32_t id)
{
	uint32_t message[49] = { 1 };

	message[2] = id % 3;
	message[46] = id % 32 + 1;
	message[47] = 1u << 16;
	message[48] = id;
	say(message, 196);
}

static void rescind(uint32_t id)
{
	uint32_t message[3] = { 2, 0, id % 32 + 1 };

	say(message, sizeof(message));
}

/* The ring that the guest reads is behind the one that it writes. */
static void put_packet(unsigned i, const uint8_t *data, size_t size)
{
	uint8_t *control = rings[i][RING_PAGES], *at = rings[i][RING_PAGES + 1];
	uint32_t write = word(control) % 4096 & ~7u, length;

	if (size < 16)
		return;
	length = (uint32_t)size & ~7u;
	for (uint32_t n = 0; n < length; n++)
		at[(write + n) % 4096] = data[n];
	at[(write + 4) % 4096] = (uint8_t)(length / 8);
	at[(write + 5) % 4096] = 0;
	write = (write + length + 8) % 4096;
	memcpy(control, &write, 4);
}

/* A completion of one that is under way, if the guess is good: ids are slots and small numbers. */
static void put_completion(unsigned i, const uint8_t *data, size_t size)
{
	uint8_t packet[24] = { 11, 0, 2, 0, 3, 0, 0, 0 };

	packet[8] = data[0] % (REQUESTS + 1) + 1;
	packet[12] = size > 1 ? data[1] : 0;
	put_packet(i, packet, sizeof(packet));
}

static void run_channel(uint8_t op, const uint8_t *data, size_t size)
{
	unsigned i = data[0] % CHANNELS;

	data++;
	size--;
	if (op == OP_RING && size > 2)
		memcpy(&rings[i][RING_PAGES + 1][word((uint8_t[4]){ data[0], data[1] }) % 3840],
		       data + 2, size - 2);
	else if (op == OP_INDEX && size > 4)
		memcpy(&rings[i][data[0] % 2 * RING_PAGES][data[0] / 2 % 4 * 4], data + 1, 4);
	else if (op == OP_PACKET)
		put_packet(i, data, size);
	else if (op == OP_COMPLETE && size > 0)
		put_completion(i, data, size);
	if (!channels[i].channel)
		return;
	if (op == OP_OPEN)
		open_channel(i, size % 2);
	else if (op == OP_CLOSE)
		vg_close(channels[i].channel);
	else if (op == OP_SEND)
		send_request(i, data, size);
	else if (op == OP_SHARE)
		vg_share(channels[i].channel, rings, 1 + (uint32_t)size, &channels[i].gpadl);
	else if (op == OP_UNSHARE)
		vg_unshare(channels[i].channel, channels[i].gpadl);
}

static void run(uint8_t op, const uint8_t *data, size_t size)
{
	uint8_t first = size ? data[0] : 0;

	switch (op) {
	case OP_MESSAGE:
		say(data, size);
		break;
	case OP_ANSWER:
		answer(first);
		break;
	case OP_OFFER:
		offer(first);
		break;
	case OP_RESCIND:
		rescind(first);
		break;
	case OP_POLL:
		vg_poll(vg, first);
		break;
	case OP_SLEEP:
		vg_sleep(vg);
		break;
	case OP_UNLOAD:
		vg_unload(vg);
		break;
	case OP_GONE:
		vg_host_gone(vg);
		vg_poll(vg, 0);
		make_contact();
		break;
	case OP_BUSY:
		busy = first & 1;
		break;
	default:
		if (size)
			run_channel(op, data, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before;

	memset(channels, 0, sizeof(channels));
	memset(rings, 0, sizeof(rings));
	busy = false;
	must(vg_init(&vg, &platform, &events, memory, sizeof(memory)) == VG_OK);
	before = vg_memory_used(vg, NULL);
	make_contact();
	while (size >= 2) {
		uint8_t op = data[0] % OPS;
		size_t length = data[1];

		data += 2;
		size -= 2;
		if (length > size)
			length = size;
		run(op, data, length);
		data += length;
		size -= length;
	}
	vg_host_gone(vg);
	vg_poll(vg, 1);
	for (unsigned i = 0; i < CHANNELS; i++)
		must(!channels[i].channel && !channels[i].opened);
	must(vg_memory_used(vg, NULL) == before);
	vg_destroy(vg);
	return 0;
}
