/* SPDX-License-Identifier: BSD-2-Clause */
#include "persona_net.h"

#define DONE UINT64_MAX

/* ---- what comes ---- */

static void take_packet_message(struct persona_net *n, const uint8_t *message, uint32_t size)
{
	struct rndis_packet head;
	const uint8_t *body = message + sizeof(struct rndis_header);

	assert_true(size >= sizeof(struct rndis_header) + sizeof(head));
	memcpy(&head, body, sizeof(head));
	/* Drivers of all systems check as much before they take it. */
	assert_true(head.data_offset <= size && head.data_length <= size - head.data_offset);
	assert_true(head.data_length <= sizeof(n->frame));
	assert_true(head.data_offset % 4 == 0);
	n->frame_size = head.data_length;
	memcpy(n->frame, body + head.data_offset, head.data_length);
	n->frames++;
}

static void take_rndis(struct persona_net *n, const uint8_t *message, uint32_t size)
{
	struct rndis_header header;

	assert_true(size >= sizeof(header));
	memcpy(&header, message, sizeof(header));
	assert_true(header.length <= size);
	if (header.type == RNDIS_PACKET) {
		take_packet_message(n, message, header.length);
	} else if (header.type & RNDIS_COMPLETE) {
		assert_false(n->answered);
		assert_true(size <= sizeof(n->answer));
		n->answered = true;
		n->answer_size = size;
		memcpy(n->answer, message, size);
	} else {
		assert_int_equal(header.type, RNDIS_INDICATE_STATUS);
		n->indications++;
	}
}

static void complete(struct persona_net *n, uint64_t transaction)
{
	const struct nvsp_message done = { .type = NVSP_RNDIS_PACKET_COMPLETE,
		                           .rndis_packet_complete = { NVSP_STATUS_SUCCESS } };

	persona_complete(&n->channel, transaction, &done,
	                 n->completion_sent ? n->completion_sent : 8);
}

static void take_transfer(struct persona_net *n, const struct persona_packet *packet)
{
	struct wire_transfer_pages pages;
	struct wire_transfer_range range;
	uint32_t type;

	memcpy(&pages, packet->bytes, sizeof(pages));
	memcpy(&type, packet->payload, sizeof(type));
	assert_int_equal(type, NVSP_RNDIS_PACKET);
	assert_int_equal(pages.transfer_pageset_id, n->receive_id);
	assert_true(sizeof(pages) + pages.range_count * sizeof(range) <=
	            packet->header_size + sizeof(pages.packet));
	if (n->look)
		n->look(n, packet);
	for (uint32_t i = 0; i < pages.range_count; i++) {
		memcpy(&range, packet->bytes + sizeof(pages) + i * sizeof(range), sizeof(range));
		assert_true((uint64_t)range.byte_offset + range.byte_count <=
		            (uint64_t)n->slot_size * n->slot_count);
		take_rndis(n, n->receive + range.byte_offset, range.byte_count);
	}
	if (!n->keep)
		complete(n, packet->transaction);
}

static void take_completion(struct persona_net *n, const struct persona_packet *packet)
{
	n->completed = packet->transaction;
	n->completion_size = packet->size;
	memset(&n->completion, 0, sizeof(n->completion));
	memcpy(&n->completion, packet->payload,
	       packet->size < sizeof(n->completion) ? packet->size : sizeof(n->completion));
}

static void pump(struct persona_net *n)
{
	struct persona_packet packet;

	persona_receive(&n->channel, &packet);
	if (packet.type == WIRE_PACKET_COMPLETION)
		take_completion(n, &packet);
	else if (packet.type == WIRE_PACKET_DATA_TRANSFER_PAGES)
		take_transfer(n, &packet);
	else /* a table of channels, which many drivers do not know */
		assert_int_equal(packet.type, WIRE_PACKET_DATA_INBAND);
}

static void await(struct persona_net *n, uint64_t transaction)
{
	while (n->completed != transaction)
		pump(n);
}

/* ---- NVSP ---- */

uint32_t persona_net_say(struct persona_net *n, const void *message, uint32_t size)
{
	n->completed = DONE;
	persona_request(&n->channel, ++n->transaction, message, size);
	await(n, n->transaction);
	return n->completion_size;
}

void persona_net_tell(struct persona_net *n, const void *message, uint32_t size)
{
	persona_send(&n->channel, WIRE_PACKET_DATA_INBAND, 0, ++n->transaction, NULL, 0, message,
	             size);
}

void persona_net_open(struct persona *p, struct persona_net *n, const void *type, uint32_t pages)
{
	const struct persona_opening opening = { .out_pages = pages, .in_pages = pages };

	memset(n, 0, sizeof(*n));
	persona_open(p, &n->channel, persona_find(p, type, 0), &opening);
}

void persona_net_init(struct persona_net *n, const uint32_t *versions, uint32_t size)
{
	for (; *versions; versions++) {
		struct nvsp_message m = { .type = NVSP_INIT, .init = { *versions, *versions } };

		persona_net_say(n, &m, size);
		assert_int_equal(n->completion.type, NVSP_INIT_COMPLETE);
		if (n->completion.init_complete.status == NVSP_STATUS_SUCCESS)
			break;
	}
	n->version = *versions;
	assert_true(n->version);
}

void persona_net_configure(struct persona_net *n, uint32_t mtu, uint64_t capabilities,
                           uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_CONFIG };

	m.ndis_config.mtu = mtu;
	m.ndis_config.capabilities = capabilities;
	persona_net_tell(n, &m, size);
}

void persona_net_ndis(struct persona_net *n, uint32_t major, uint32_t minor, uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_VERSION,
		                  .ndis_version = { major, minor } };

	persona_net_tell(n, &m, size);
}

void persona_net_give_receive(struct persona_net *n, uint32_t bytes, uint16_t id, uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_SEND_RECEIVE_BUFFER };
	const struct nvsp_receive_buffer_complete *answer = &n->completion.receive_buffer_complete;

	n->receive = persona_pages(n->channel.persona, bytes / WIRE_PAGE_SIZE);
	n->receive_gpadl = n->channel.persona->next_gpadl++;
	n->receive_id = id;
	persona_share(n->channel.persona, n->channel.offer.channel_id, n->receive_gpadl, n->receive,
	              bytes);
	m.buffer.gpadl = n->receive_gpadl;
	m.buffer.id = id;
	persona_net_say(n, &m, size);
	assert_int_equal(n->completion.type, NVSP_SEND_RECEIVE_BUFFER_COMPLETE);
	assert_int_equal(answer->status, NVSP_STATUS_SUCCESS);
	/* One section from the beginning on: no driver takes more, and some look. */
	assert_int_equal(answer->section_count, 1);
	assert_int_equal(answer->section.offset, 0);
	n->slot_size = answer->section.slot_size;
	n->slot_count = answer->section.slot_count;
	assert_true(n->slot_size && n->slot_count);
	assert_true((uint64_t)n->slot_size * n->slot_count <= bytes);
}

void persona_net_give_send(struct persona_net *n, uint32_t bytes, uint16_t id, uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_SEND_SEND_BUFFER };

	n->send = persona_pages(n->channel.persona, bytes / WIRE_PAGE_SIZE);
	n->send_gpadl = n->channel.persona->next_gpadl++;
	persona_share(n->channel.persona, n->channel.offer.channel_id, n->send_gpadl, n->send,
	              bytes);
	m.buffer.gpadl = n->send_gpadl;
	m.buffer.id = id;
	persona_net_say(n, &m, size);
	assert_int_equal(n->completion.type, NVSP_SEND_SEND_BUFFER_COMPLETE);
	assert_int_equal(n->completion.send_buffer_complete.status, NVSP_STATUS_SUCCESS);
	n->section_size = n->completion.send_buffer_complete.section_size;
	assert_true(n->section_size >= 1024 && n->section_size % 8 == 0);
}

void persona_net_revoke(struct persona_net *n, uint16_t send_id, uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_REVOKE_RECEIVE_BUFFER,
		                  .revoke = { .id = n->receive_id } };

	persona_net_tell(n, &m, size);
	persona_unshare(n->channel.persona, n->channel.offer.channel_id, n->receive_gpadl);
	if (!n->send)
		return;
	m.type = NVSP_REVOKE_SEND_BUFFER;
	m.revoke.id = send_id;
	persona_net_tell(n, &m, size);
	persona_unshare(n->channel.persona, n->channel.offer.channel_id, n->send_gpadl);
}

/* ---- RNDIS ---- */

static void send_by_section(struct persona_net *n, struct nvsp_message *m, const void *message,
                            uint32_t size, uint32_t message_size)
{
	assert_true(size <= n->section_size);
	memcpy(n->send + n->section_size, message, size);
	m->rndis_packet.section_index = 1;
	m->rndis_packet.section_bytes = size;
	persona_request(&n->channel, ++n->transaction, m, message_size);
}

/* `head`: bytes before the frame; the frame's page is another. */
static void send_by_ranges(struct persona_net *n, const struct nvsp_message *m, const void *message,
                           uint32_t head, uint32_t size, uint32_t message_size)
{
	const uint8_t *bytes = message;
	uint32_t first = n->split && head ? head : size;
	struct persona_range ranges[2];

	if (!n->external)
		n->external = persona_pages(n->channel.persona, 2);
	ranges[0] = (struct persona_range){ n->external, first };
	ranges[1] = (struct persona_range){ n->external + WIRE_PAGE_SIZE, size - first };
	memcpy(ranges[0].address, bytes, first);
	memcpy(ranges[1].address, bytes + first, size - first);
	persona_request_with(&n->channel, ++n->transaction, ranges, first < size ? 2 : 1, m,
	                     message_size);
}

static void send_rndis(struct persona_net *n, uint32_t channel_type, const void *message,
                       uint32_t head, uint32_t size)
{
	struct nvsp_message m = { .type = NVSP_RNDIS_PACKET,
		                  .rndis_packet = { channel_type, NVSP_NO_SECTION, 0 } };
	uint32_t message_size = n->message_size ? n->message_size : 16;

	n->completed = DONE;
	if (n->by_section)
		send_by_section(n, &m, message, size, message_size);
	else
		send_by_ranges(n, &m, message, head, size, message_size);
	await(n, n->transaction);
	assert_int_equal(n->completion.type, NVSP_RNDIS_PACKET_COMPLETE);
	assert_int_equal(n->completion.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
}

/* `body` begins with the request's id, which is filled in; the answer's body is in n->answer. */
static void ask(struct persona_net *n, uint32_t type, void *body, uint32_t size)
{
	struct rndis_header header = { type, (uint32_t)sizeof(header) + size };
	uint8_t message[1024];
	uint32_t said[3];

	n->request_id++;
	memcpy(body, &n->request_id, sizeof(n->request_id));
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, size);
	n->answered = false;
	send_rndis(n, NVSP_CHANNEL_CONTROL, message, 0, header.length);
	while (!n->answered)
		pump(n);
	memcpy(said, n->answer, sizeof(said));
	assert_int_equal(said[0], type | RNDIS_COMPLETE);
	assert_int_equal(said[1], n->answer_size);
	assert_int_equal(said[2], n->request_id);
}

void persona_net_rndis_init(struct persona_net *n, uint32_t max_transfer)
{
	struct rndis_initialize body = { .major = 1, .max_transfer = max_transfer };
	struct rndis_initialize_complete answer;

	ask(n, RNDIS_INITIALIZE, &body, sizeof(body));
	assert_true(n->answer_size >= sizeof(struct rndis_header) + sizeof(answer));
	memcpy(&answer, n->answer + sizeof(struct rndis_header), sizeof(answer));
	assert_int_equal(answer.status, RNDIS_STATUS_SUCCESS);
	assert_true(answer.max_packets >= 1);
	assert_true(answer.max_transfer >= 1514);
	assert_true(answer.alignment < 10);
}

uint32_t persona_net_query(struct persona_net *n, uint32_t oid, void *data, uint32_t capacity)
{
	struct rndis_query body = { .oid = oid, .offset = sizeof(body) };
	struct rndis_query_complete answer;
	const uint8_t *at = n->answer + sizeof(struct rndis_header);

	ask(n, RNDIS_QUERY, &body, sizeof(body));
	memcpy(&answer, at, sizeof(answer));
	assert_int_equal(answer.status, RNDIS_STATUS_SUCCESS);
	assert_true(answer.length <= capacity);
	assert_true(answer.offset + answer.length <= n->answer_size);
	memcpy(data, at + answer.offset, answer.length);
	return answer.length;
}

void persona_net_set(struct persona_net *n, uint32_t oid, const void *data, uint32_t size)
{
	struct rndis_query head = { .oid = oid, .length = size, .offset = sizeof(head) };
	uint8_t body[512];
	uint32_t status;

	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), data, size);
	ask(n, RNDIS_SET, body, (uint32_t)sizeof(head) + size);
	memcpy(&status, n->answer + 12, sizeof(status));
	assert_int_equal(status, RNDIS_STATUS_SUCCESS);
}

void persona_net_exchange(struct persona_net *n, uint32_t size)
{
	static const uint8_t other[6] = { 0x02, 0x66, 0x66, 0x66, 0x66, 0x66 };
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
		uint8_t frame[PERSONA_FRAME_MAX];
	} m = { .header.type = RNDIS_PACKET };
	uint32_t frames = n->frames;

	persona_net_query(n, 0x01010102, m.frame + 6, 6); /* its present address */
	memcpy(m.frame, other, 6);
	memcpy(m.frame + 12, "\x88\xb5", 2); /* an experiment's type */
	memset(m.frame + 14, (int)n->frames + 1, size - 14);
	m.packet.data_offset = sizeof(m.packet);
	m.packet.data_length = size;
	m.header.length = (uint32_t)(sizeof(m.header) + sizeof(m.packet)) + size;
	send_rndis(n, NVSP_CHANNEL_DATA, &m, sizeof(m.header) + sizeof(m.packet), m.header.length);
	while (n->frames == frames)
		pump(n);
	assert_int_equal(n->frame_size, size);
	assert_memory_equal(n->frame, m.frame + 6, 6);
	assert_memory_equal(n->frame + 6, other, 6);
	assert_memory_equal(n->frame + 12, m.frame + 12, size - 12);
}

void persona_net_begin_rndis(struct persona_net *n, const uint8_t *address)
{
	uint32_t link = UINT32_MAX, filter = 0x000d; /* directed, all multicast, broadcast */
	uint8_t own[6];

	persona_net_rndis_init(n, 0x4000);
	assert_int_equal(persona_net_query(n, 0x01010101, own, sizeof(own)), 6);
	assert_memory_equal(own, address, sizeof(own));
	assert_int_equal(persona_net_query(n, 0x00010114, &link, sizeof(link)), 4);
	assert_int_equal(link, 0); /* connected */
	persona_net_set(n, 0x0001010e, &filter, sizeof(filter));
}
